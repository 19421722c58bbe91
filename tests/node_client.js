// Sends a file to an echo server, ends its side, and compares what comes back.
//   node node_client.js PORT|PATH FILE
'use strict';
const fs = require('fs');
const net = require('net');

const [place, file] = process.argv.slice(2);
const expected = fs.readFileSync(file);
let received = 0;

function fail(what) {
  console.error(`node_client: ${what}`);
  process.exit(1);
}

const to = /^\d+$/.test(place) ? {port: Number(place), host: '127.0.0.1'} : {path: place};
const socket = net.connect({...to, allowHalfOpen: true}, () => {
  socket.end(expected);
});
socket.on('data', (data) => {
  if (!data.equals(expected.subarray(received, received + data.length))) {
    fail(`other bytes at ${received}`);
  }
  received += data.length;
});
socket.on('error', (error) => fail(error.message));
socket.on('close', () => {
  if (received !== expected.length) fail(`${received} bytes of ${expected.length}`);
  console.log(`ok: Node, ${received} bytes`);
});
