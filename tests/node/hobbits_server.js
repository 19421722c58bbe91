// What dwarves, elves and hobbits talk to: a server that tells all that it knows.
'use strict';
const {net, parseFlags, place, say, closeAtInterrupt, writeData} = require('./program');

const flags = parseFlags({port: 8107, indent: 3, timeout: 500});
const server = net.createServer((socket) => {
  say('Client connection: ');
  say(' '.repeat(flags.indent), 'local = ', socket.localAddress, ':', socket.localPort);
  say('   remote = ', socket.remoteAddress, ':', socket.remotePort);
  socket.setTimeout(flags.timeout);
  socket.setEncoding('utf8');
  socket.on('data', (text) => {
    say('Received data from client on port ', socket.remotePort, ': ', text);
    say('  Bytes received: ', socket.bytesRead);
    writeData(socket, 'Sending: ' + text);
    say('  Bytes sent: ', socket.bytesWritten);
  });
  socket.on('end', () => {
    say('Client disconnected');
    server.getConnections((error, count) => say('Remaining Connections: ', count));
  });
  socket.on('timeout', () => say('Socket Timed out'));
  socket.on('error', (error) => say('Socket Error:  ', JSON.stringify(error)));
});
server.on('error', (error) => {
  say('Server Error:  ', JSON.stringify(error));
  process.exitCode = 1;
});
server.on('close', () => say('Server Terminated'));
closeAtInterrupt(server);
server.listen(place(flags), () => say('Server listening: ', JSON.stringify(server.address())));
