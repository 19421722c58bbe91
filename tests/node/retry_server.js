// Waits for a port that is in use.
'use strict';
const {net, parseFlags, place, say, complain, closeAtInterrupt, atInterrupt} =
    require('./program');

const flags = parseFlags({port: 8124, interval: 1000, closes: false});
let retry;
const server = net.createServer((socket) => {
  socket.on('error', complain);
  socket.end();
});
server.on('listening', () => say('listening'));
server.on('error', (error) => {
  if (error.code !== 'EADDRINUSE') throw error;
  say('Address in use, retrying...');
  retry = setTimeout(() => {
    server.close();
    server.listen(place(flags));
  }, flags.interval);
});
if (flags.closes) server.on('close', () => say('close'));
closeAtInterrupt(server);
atInterrupt(() => clearTimeout(retry));
server.listen(place(flags));
