// Prints what it receives, answers with "test", and ends the connection.
'use strict';
const {net, parseFlags, place, say, complain, closeAtInterrupt} = require('./program');

const flags = parseFlags({port: 5000, stay: false});
const server = net.createServer((socket) => {
  say('connect address : ', socket.address().address);
  socket.on('data', (data) => {
    say(data);
    socket.write('test');
    if (!flags.stay) socket.end();
  });
  socket.on('error', complain);
});
closeAtInterrupt(server);
server.listen(place(flags), () => say('listen on port ', server.address().port));
