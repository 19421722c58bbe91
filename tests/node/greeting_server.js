// Greets each client, then echoes what it says.
'use strict';
const {net, parseFlags, place, say, complain, closeAtInterrupt} = require('./program');

const server = net.createServer((socket) => {
  say('server connected');
  socket.on('end', () => say('server disconnected'));
  socket.on('error', complain);
  socket.write('hello\r\n');
  socket.pipe(socket);
});
closeAtInterrupt(server);
server.listen(place(parseFlags({port: 8124})), () => say('server bound'));
