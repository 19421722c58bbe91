// Requests of every kind over one connection that is kept: what comes back, and that it was one.
//   node http_client.js PORT|PATH [proxied]
// Behind a proxy the connection's fields are the proxy's, and bodies small: nginx sends no more of
// one when its response has begun.
'use strict';
const http = require('http');
const assert = require('assert');
const crypto = require('crypto');

const [place, proxied] = process.argv.slice(2);
const to = /^\d+$/.test(place) ? {host: '127.0.0.1', port: Number(place)} : {socketPath: place};
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
const sockets = new Set();

// `pieces` are written one by one, so that two of them make a chunked body.
function ask(method, path, pieces = [], headers = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({...to, agent, method, path, headers}, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        resolve({status: response.statusCode, headers: response.headers,
          body: Buffer.concat(parts)});
      });
    });
    request.on('socket', (socket) => sockets.add(socket));
    request.on('error', reject);
    for (const piece of pieces) request.write(piece);
    request.end();
  });
}

async function askSmall() {
  const hello = await ask('GET', '/hello');
  assert.strictEqual(hello.status, 200);
  assert.strictEqual(hello.body.toString(), 'Hello, World!');
  assert.strictEqual(hello.headers['content-type'], 'text/plain');
  assert.strictEqual(hello.headers['content-length'], '13');
  if (!proxied) assert.strictEqual(hello.headers.connection, 'keep-alive');
  const head = await ask('HEAD', '/hello');
  assert.strictEqual(head.headers['content-length'], '13');
  assert.strictEqual(head.body.length, 0);
  const chunks = await ask('GET', '/chunked?n=50&size=3000');
  assert.strictEqual(chunks.headers['transfer-encoding'], 'chunked');
  assert.strictEqual(chunks.body.toString(), 'x'.repeat(150000));
  assert.strictEqual((await ask('POST', '/sum?a=40&b=-1', ['2', '1'])).body.toString(), '60');
  assert.strictEqual((await ask('GET', '/cookie', [], {Cookie: 'a=1; b=2'})).body.toString(),
    'a=1\nb=2\n');
  assert.strictEqual((await ask('DELETE', '/hello')).status, 405);
  assert.strictEqual((await ask('GET', '/nowhere')).status, 404);
}

async function askLarge() {
  const bytes = crypto.randomBytes(proxied ? 8000 : 3 << 20);
  const sized = await ask('POST', '/echo', [bytes], {'Content-Length': bytes.length});
  assert(sized.body.equals(bytes), 'a sized body came back changed');
  const pieces = [bytes.subarray(0, 1), bytes.subarray(1, 70000), bytes.subarray(70000)];
  const chunked = await ask('POST', '/echo', pieces);
  assert(chunked.body.equals(bytes), 'a chunked body came back changed');
}

// The client waits for 100 Continue before it sends its body.
function askExpecting() {
  return new Promise((resolve, reject) => {
    let continued = false;
    const headers = {Expect: '100-continue', 'Content-Length': 4};
    const request = http.request({...to, agent, method: 'POST', path: '/echo', headers});
    request.on('continue', () => {
      continued = true;
      request.end('body');
    });
    request.on('response', (response) => {
      assert(continued, 'no 100 Continue');
      response.setEncoding('utf8');
      response.on('data', (text) => assert.strictEqual(text, 'body'));
      response.on('end', resolve);
    });
    request.on('error', reject);
    request.flushHeaders();
  });
}

async function askClose() {
  const closed = await ask('GET', '/close');
  assert.strictEqual(closed.headers.connection, 'close');
  await askSmall();
  assert.strictEqual(sockets.size, 2, `${sockets.size} connections after one was closed`);
}

async function main() {
  for (let round = 0; round < 3; ++round) await askSmall();
  await askLarge();
  await askExpecting();
  await askSmall();
  assert.strictEqual(sockets.size, 1, `${sockets.size} connections`);
  if (!proxied) await askClose();
  agent.destroy();
  console.log('ok: Node, requests over a kept connection');
}

main().catch((error) => {
  console.error(`http_client: ${error.stack}`);
  process.exit(1);
});
