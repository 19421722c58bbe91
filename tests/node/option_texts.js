// What the manual says of options, each tried on a server and a client of its own.
'use strict';
const {net, say, complain} = require('./program');

const yesOrNo = (yes) => (yes ? 'yes' : 'no');

// A server for one client, which it does not outlive; calls `next` with what to connect to.
function listen(server, next) {
  server.on('connection', (socket) => {
    socket.on('error', complain);
    socket.on('close', () => server.close());
  });
  server.listen(0, '127.0.0.1', () => next({host: '127.0.0.1', port: server.address().port}));
}

// Each test calls `next` when all is closed, or nothing is left to come.
function halfOpen(next) {
  const server = net.createServer({allowHalfOpen: true}, (socket) => {
    socket.resume();
    socket.on('end', () => socket.end('after your end'));
  }).on('close', next);
  listen(server, (peer) => {
    const client = net.connect(peer);
    client.on('data', (data) => say('allowHalfOpen: ', data));
    client.end('question');
  });
}

function maxConnections(next) {
  const server = net.createServer().on('close', next);
  server.maxConnections = 1;
  server.on('drop', () => say('maxConnections: one was dropped'));
  listen(server, (peer) => {
    const first = net.connect(peer).resume();
    server.once('connection', (socket) => {
      socket.resume();
      net.connect(peer).resume().on('close', () => {
        say('maxConnections: the second is closed, the first ', first.readyState);
        first.end();
      });
    });
  });
}

function noTimeout(next) {
  const server = net.createServer((socket) => socket.resume()).on('close', next);
  listen(server, (peer) => {
    const client = net.connect(peer).resume();
    client.on('timeout', () => say('setTimeout: it fired'));
    client.setTimeout(1);
    client.setTimeout(0);
    client.on('connect', () => setTimeout(() => {
      say('setTimeout 0: ', client.timeout, ', and nothing came');
      client.end();
    }, 20));
  });
}

function noDelayAndKeepAlive(next) {
  const server = net.createServer((socket) => socket.resume()).on('close', next);
  listen(server, (peer) => {
    const client = net.connect(peer).resume().setNoDelay().setKeepAlive(true, 60000);
    client.on('connect', () => {
      client.setNoDelay(false).setKeepAlive(false);
      say('setNoDelay, setKeepAlive: before and after connecting');
      client.end();
    });
  });
}

function localAddress(next) {
  const server = net.createServer((socket) => {
    say('localAddress: the server sees ', socket.remoteAddress);
    socket.end();
    socket.resume();
  }).on('close', next);
  listen(server, (peer) => net.connect({...peer, localAddress: '127.0.0.2'}).resume());
}

// The sender stops when its queue is full, and the receiver now and then.
function throttle(next) {
  const bytes = 4 << 20;
  const server = net.createServer((socket) => {
    socket.once('data', () => {
      socket.pause();
      setTimeout(() => socket.resume(), 10);
    });
    socket.on('end', () => say('pause, resume: ', socket.bytesRead, ' bytes'));
  }).on('close', next);
  listen(server, (peer) => {
    const client = net.connect(peer).resume();
    const writeMore = () => {
      while (client.bytesWritten < bytes) {
        if (!client.write('.'.repeat(65536))) return;
      }
      client.end();
    };
    client.on('connect', writeMore).on('drain', writeMore);
  });
}

function hadError(reset, next) {
  const server = net.createServer((socket) => {
    socket.on('data', () => (reset ? socket.resetAndDestroy() : socket.end()));
  });
  listen(server, (peer) => {
    const client = net.connect(peer).resume();
    client.on('error', (error) => say('error: ', error.message));
    client.on('close', (failed) => {
      say('close: had_error ', yesOrNo(failed));
      next();
    });
    client.write('question');
  });
}

function isIP(next) {
  for (const text of ['127.0.0.1', '::1', '::ffff:127.0.0.1', 'fe80::1%eth0', '1.2.3', '1.2.3.04',
    '[::1]', 'localhost', '']) {
    say(`isIP '${text}': ${net.isIP(text)}`);
  }
  next();
}

function unref() {
  const server = net.createServer();
  listen(server, () => server.unref());
  process.on('exit', () => {
    say('unref: the program ends, listening ', yesOrNo(server.listening));
  });
}

const tests = [halfOpen, maxConnections, noTimeout, noDelayAndKeepAlive, localAddress, throttle,
  hadError.bind(null, false), hadError.bind(null, true), isIP, unref];
const run = () => tests.shift()(run);
run();
