// An HTTP answer by hand.
'use strict';
const {net, parseFlags, place, say, complain, closeAtInterrupt} = require('./program');

const page = '<!DOCTYPE html>\n<html><head><title>weir</title></head>' +
    '<body><h1>HELLO!</h1></body></html>\n';
const answer = 'HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n' +
    `Content-Length: ${page.length}\r\n\r\n${page}`;

const server = net.createServer((socket) => {
  say('connect address : ', socket.address().address);
  let headers = '';
  socket.on('data', (data) => {
    say('=========receive data==========');
    say(data);
    say('===========receive data===========');
    const pieces = (headers + data.toString('latin1')).split('\r\n\r\n');
    headers = pieces.pop().slice(-3);
    for (const _ of pieces) {
      if (!socket.write(answer)) socket.pause();
    }
  });
  socket.on('drain', () => socket.resume());
  socket.on('error', complain);
});
closeAtInterrupt(server);
const flags = parseFlags({port: 5000});
server.listen(place(flags), () => say('listen on port ', server.address().port));
