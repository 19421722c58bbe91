// Node's ws as a client of the server at URL: sizes, kinds, pings, close codes; deflate or not.
//   node ws_client.js URL deflate|plain
'use strict';
const assert = require('assert');
const WebSocket = require('ws');

const url = process.argv[2];
const deflate = process.argv[3] === 'deflate';
const sizes = [0, 1, 125, 126, 1000, 65535, 65536, 1 << 20];

function bytes(size) {
  const made = Buffer.alloc(size);
  for (let i = 0; i < size; i++) made[i] = (i * i) % 251;
  return made;
}

const messages = [];
for (const size of sizes) messages.push({data: bytes(size), isBinary: true});
for (const size of sizes) {
  messages.push({data: Buffer.from('Grüße, '.repeat(size / 9)), isBinary: false});
}

const socket = new WebSocket(url, {perMessageDeflate: deflate});
const whole = messages.length;
let next = 0;
let pongs = 0;

function send() {
  const message = messages[next];
  socket.send(message.data, {binary: message.isBinary});
}

socket.on('open', () => {
  assert.strictEqual(socket.extensions.includes('permessage-deflate'), deflate);
  socket.ping('there?');
  send();
});
socket.on('pong', (data) => {
  assert.strictEqual(data.toString(), 'there?');
  pongs++;
});
socket.on('message', (data, isBinary) => {
  assert.strictEqual(isBinary, messages[next].isBinary);
  assert.ok(Buffer.compare(data, messages[next].data) === 0, `message ${next}`);
  if (++next < whole) return send();
  if (next > whole) return socket.close(4567, 'enough');
  messages.push({data: Buffer.from('in three pieces'), isBinary: false});
  socket.send('in ', {fin: false, binary: false});
  socket.send('three ', {fin: false});
  socket.send('pieces', {fin: true});
});
socket.on('close', (code, reason) => {
  assert.strictEqual(next, whole + 1);
  assert.strictEqual(pongs, 1);
  assert.strictEqual(code, 4567);
  console.log(`${next} messages came back`);
});
