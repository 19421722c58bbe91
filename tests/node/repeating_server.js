// Repeats what its clients say.
'use strict';
const {net, parseFlags, place, say, complain, closeAtInterrupt} = require('./program');

const flags = parseFlags({port: 8124});
const server = net.createServer((socket) => {
  say('connected');
  socket.on('data', (data) => {
    say(data, ' from ', socket.remoteAddress, socket.remotePort);
    if (!socket.write(`Repeating: ${data}`)) socket.pause();
  });
  socket.on('drain', () => socket.resume());
  socket.on('close', () => say('cliend closed connection'));
  socket.on('error', complain);
});
closeAtInterrupt(server);
server.listen(place(flags), () => say('listening on port ', server.address().port));
