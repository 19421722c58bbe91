// Prints the name of each event of a client's connection.
'use strict';
const {net, parseFlags, peer, say, atInterrupt} = require('./program');

const flags = parseFlags({port: 8124, flood: 0, timeout: 0});
const client = net.connect(peer(flags));
client.on('lookup', () => say('lookup'));
client.on('connect', () => {
  say('connect');
  if (flags.flood) say('write ', client.write('.'.repeat(flags.flood)));
});
client.on('ready', () => say('ready'));
client.on('data', (data) => say('data ', data.length));
client.on('drain', () => say('drain'));
client.on('timeout', () => say('timeout'));
client.on('end', () => say('end'));
client.on('error', (error) => say('error ', JSON.stringify(error)));
client.on('close', (hadError) => say('close ', hadError));
client.setTimeout(flags.timeout);
atInterrupt(() => client.destroy());
