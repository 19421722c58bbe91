// Greets its clients, and prints what they send.
'use strict';
const {net, parseFlags, place, say, complain, closeAtInterrupt} = require('./program');

const server = net.createServer((socket) => {
  say('Client connected');
  socket.write('Hello');
  socket.on('data', (data) => say('Client sent ', data));
  socket.on('end', () => say('Client disconnected'));
  socket.on('error', complain);
});
closeAtInterrupt(server);
server.listen(place(parseFlags({port: 8107})), () => say('Server listening for connection'));
