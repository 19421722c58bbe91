// A server with what only Node does easily: early hints, trailers, connections that end behind
// one's back.
//   node http_server.js PORT|PATH [--keep-alive-timeout MS] [--close-every N] [--quiet]
//     [--root DIR]
// It prints the port or path when it listens. --close-every: each connection ends behind its N-th
// answer, without saying so; --quiet: no Keep-Alive says how long connections stay.
'use strict';
const fs = require('fs');
const http = require('http');
const path = require('path');

const [place, ...words] = process.argv.slice(2);
const flags = {'keep-alive-timeout': 600000, 'close-every': 0, quiet: false, root: '.'};
while (words.length > 0) {
  const name = words.shift().slice(2);
  flags[name] = flags[name] === false ? true : words.shift();
}

let connections = 0;

function echo(request, response) {
  if (request.headers['content-length']) {
    response.setHeader('Content-Length', request.headers['content-length']);
  }
  request.pipe(response);
}

function early(request, response) {
  response.writeEarlyHints({link: '</style.css>; rel=preload', 'x-first': '1'});
  response.writeEarlyHints({link: '</more.css>; rel=preload'});
  response.end('after the hints');
}

function trailers(request, response) {
  response.setHeader('Trailer', 'X-Sum, X-Other');
  response.write('some ');
  response.write('text');
  response.addTrailers({'X-Sum': '42', 'X-Other': 'a, b'});
  response.end();
}

function chunked(request, response) {
  const query = new URL(request.url, 'http://localhost').searchParams;
  const piece = 'x'.repeat(Number(query.get('size')));
  let left = Number(query.get('n'));
  const go = () => {
    while (left > 0) {
      left -= 1;
      if (!response.write(piece)) return;
    }
    response.removeListener('drain', go);
    response.end();
  };
  response.on('drain', go);
  go();
}

// The number of the connection, and of the request on it.
function count(request, response) {
  response.end(`${request.socket.number} ${request.socket.requests}\n`);
}

// What the server of unix_server.cc answers.
function numbers(request, response) {
  const file = new URL(request.url, 'http://localhost').searchParams.get('file');
  response.writeHead(200, {'Content-Type': 'text/plain'});
  for (let number = 0; number < 100; ++number) response.write(`${number}\n`);
  response.end(fs.readFileSync(path.join(flags.root, path.basename(file))));
}

const answers = {'/': numbers, '/echo': echo, '/early': early, '/trailers': trailers,
  '/chunked': chunked, '/count': count};

function answer(request, response) {
  const socket = request.socket;
  socket.requests += 1;
  if (flags.quiet) response.setHeader('Connection', 'keep-alive');
  if (socket.requests === Number(flags['close-every'])) {
    response.on('finish', () => socket.destroySoon());
  }
  const known = answers[request.url.split('?')[0]];
  if (known) return known(request, response);
  response.statusCode = 404;
  response.end('nothing here\n');
}

const server = http.createServer(answer);
server.keepAliveTimeout = Number(flags['keep-alive-timeout']);
server.on('connection', (socket) => {
  socket.number = connections += 1;
  socket.requests = 0;
});
server.on('checkContinue', (request, response) => {
  if (request.url === '/refuse') {
    response.writeHead(403, {'Content-Length': 6});
    response.end('no way');
    return;
  }
  response.writeContinue();
  server.emit('request', request, response);
});
server.on('clientError', (error, socket) => {
  console.error(`a client's error: ${error.code}`);
  socket.destroy();
});
const at = /^\d+$/.test(place) ? {port: Number(place), host: '127.0.0.1'} : {path: place};
server.listen(at, () => {
  console.log(typeof server.address() === 'string' ? server.address() : server.address().port);
});
process.on('SIGTERM', () => process.exit(0));
