// Sends standard input to a server, and prints what it answers.
'use strict';
const {net, parseFlags, say, complain, atInterrupt} = require('./program');

const flags = parseFlags({port: 8124});
const client = new net.Socket();
client.setEncoding('utf8');
client.on('connect', () => {
  say('connected to server');
  client.write('Who needs a browser to commnicate?');
});
client.on('data', (text) => say(text));
client.on('drain', () => process.stdin.resume());
client.on('close', () => {
  say('connection is closed');
  process.stdin.resume();
});
client.on('error', complain);
process.stdin.on('data', (line) => {
  if (!client.write(line) && !client.destroyed) process.stdin.pause();
});
atInterrupt(() => {
  client.destroySoon();
  process.stdin.destroy();
});

// The port as a text, which could also be the path of a Unix socket.
if (flags.path) client.connect(flags.path);
else client.connect(String(flags.port), flags.host || 'localhost');
