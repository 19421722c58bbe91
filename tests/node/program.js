// What the programs here share: flags, lines on stdout, and an orderly end.
'use strict';
const net = require('net');

const patience = 2000;

// --name VALUE, or --name alone where the default is a boolean.
function parseFlags(defaults) {
  const flags = {port: 0, host: '', path: '', ...defaults};
  const words = process.argv.slice(2);
  while (words.length > 0) {
    const name = words.shift().replace(/^--/, '');
    if (!(name in flags)) {
      console.error(`error: no such flag: ${name}`);
      process.exit(2);
    }
    if (typeof flags[name] === 'boolean') flags[name] = true;
    else if (typeof flags[name] === 'number') flags[name] = Number(words.shift());
    else flags[name] = words.shift();
  }
  return flags;
}

// Where a server listens; without a host at every address.
function place(flags) {
  if (flags.path) return {path: flags.path};
  return flags.host ? {port: flags.port, host: flags.host} : {port: flags.port};
}

// What a client connects to.
function peer(flags) {
  return flags.path ? {path: flags.path} : {port: flags.port, host: flags.host || 'localhost'};
}

function say(...parts) {
  process.stdout.write(parts.join('') + '\n');
}

function complain(error) {
  console.error(`error: ${error.message}`);
}

function atInterrupt(close) {
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, close);
}

// Closes the server upon SIGINT, ends its connections, and those that do not end it destroys.
function closeAtInterrupt(server) {
  const sockets = new Set();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  atInterrupt(() => {
    server.close();
    for (const socket of sockets) socket.end();
    setTimeout(() => sockets.forEach((socket) => socket.destroy()), patience).unref();
  });
}

// The tutorial's way of writing, with its test the wrong way round: see net/examples/write_data.h.
function writeData(socket, data) {
  const success = !socket.write(data);
  if (!success) socket.once('drain', () => writeData(socket, data));
}

module.exports = {net, parseFlags, place, peer, say, complain, atInterrupt, closeAtInterrupt,
  writeData};
