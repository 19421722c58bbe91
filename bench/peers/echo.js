// Echo on node:net: a socket whose writes are not taken any more is not read from.
'use strict';

const net = require('node:net');
const { kReadBuffer, parse, listen } = require('./flags.js');

const server = net.createServer({ noDelay: true, highWaterMark: kReadBuffer }, (socket) => {
  socket.on('data', (bytes) => {
    if (!socket.write(bytes)) socket.pause();
  });
  socket.on('drain', () => socket.resume());
  // A client that resets its connection is its own business.
  socket.on('error', () => {});
});

listen(server, parse());
