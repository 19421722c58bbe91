// HTTP on node:http; http_session.h has the routes.
'use strict';

const http = require('node:http');
const { kReadBuffer, parse, listen } = require('./flags.js');

const kChunksMax = 1000000;
const kChunkBytesMax = 1 << 20;
const kFiller = Buffer.alloc(kChunkBytesMax, 'x');

function sendText(response, status, text) {
  response.writeHead(status, { 'Content-Type': 'text/plain', 'Content-Length': text.length });
  response.end(text);
}

function answerEcho(request, response) {
  const fields = { 'Content-Type': 'application/octet-stream' };
  if (request.headers['transfer-encoding'] === undefined) {
    fields['Content-Length'] = request.headers['content-length'] ?? 0;
  }
  response.writeHead(200, fields);
  request.pipe(response);
}

function answerUpload(request, response) {
  let size = 0;
  request.on('data', (bytes) => {
    size += bytes.length;
  });
  request.on('end', () => sendText(response, 200, String(size)));
}

function answerChunked(query, response) {
  const count = Number(query.get('n') ?? 10);
  const size = Number(query.get('size') ?? 1024);
  const good = Number.isInteger(count) && count >= 0 && count <= kChunksMax &&
               Number.isInteger(size) && size > 0 && size <= kChunkBytesMax;
  if (!good) return sendText(response, 400, '');
  response.writeHead(200, { 'Content-Type': 'text/plain' });
  const chunk = kFiller.subarray(0, size);
  let left = count;
  const send = () => {
    while (left > 0) {
      --left;
      if (!response.write(chunk) && left > 0) {
        response.once('drain', send);
        return;
      }
    }
    response.end();
  };
  send();
}

function answer(request, response) {
  const mark = request.url.indexOf('?');
  const path = mark < 0 ? request.url : request.url.slice(0, mark);
  if (request.method === 'GET') {
    if (path === '/hello') return sendText(response, 200, 'Hello, World!');
    if (path === '/chunked') {
      return answerChunked(new URLSearchParams(mark < 0 ? '' : request.url.slice(mark)), response);
    }
  } else if (request.method === 'POST') {
    if (path === '/echo') return answerEcho(request, response);
    if (path === '/upload') return answerUpload(request, response);
  }
  sendText(response, 404, '');
}

// Without a limit for what is between two requests no timer is set and unset for each of them.
const options = { noDelay: true, highWaterMark: kReadBuffer, keepAliveTimeout: 0 };
listen(http.createServer(options, answer), parse());
