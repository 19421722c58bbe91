// Node's ws as a server that sends messages back; its port goes to standard output, and what each
// connection was closed with. "close CODE" as a message: it closes by itself.
//   node ws_server.js deflate|plain
'use strict';
const WebSocket = require('ws');

const server = new WebSocket.Server(
    {host: '127.0.0.1', port: 0, perMessageDeflate: process.argv[2] === 'deflate'},
    () => console.log(server.address().port));
server.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => {
    const text = isBinary ? '' : data.toString();
    if (text.startsWith('close ')) return socket.close(Number(text.slice(6)), 'as you say');
    socket.send(data, {binary: isBinary});
  });
  socket.on('close', (code, reason) => console.log(`closed ${code} ${reason}`));
});
