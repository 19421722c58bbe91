// Says goodbye to whoever comes.
'use strict';
const {net, parseFlags, place, say, complain, closeAtInterrupt} = require('./program');

const server = net.createServer((socket) => {
  socket.on('error', complain);
  socket.end('goodbye\n');
});
closeAtInterrupt(server);
server.listen(place(parseFlags({})), () => {
  say('opened server on ', JSON.stringify(server.address()));
});
