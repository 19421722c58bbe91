// Echoes on a port that the kernel chooses, or on a Unix socket, and says where.
//   node node_echo.js [PATH]
'use strict';
const net = require('net');

const path = process.argv[2];
const server = net.createServer({allowHalfOpen: true}, (socket) => socket.pipe(socket));
server.listen(path ? {path} : {port: 0, host: '127.0.0.1'}, () => {
  console.log(`listening on ${path || server.address().port}`);
});
