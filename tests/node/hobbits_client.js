// Dwarves, elves and hobbits: three connections to one server.
'use strict';
const {net, parseFlags, peer, say, atInterrupt, writeData} = require('./program');

const flags = parseFlags({port: 8107, indent: 3, extra: 0});

function join(name) {
  const client = net.connect(peer(flags), () => {
    say(name, ' Connected: ');
    say(' '.repeat(flags.indent), 'local = ', client.localAddress, ':', client.localPort);
    say('   remote = ', client.remoteAddress, ':', client.remotePort);
    client.setTimeout(500);
    client.setEncoding('utf8');
  });
  client.on('data', (text) => {
    say(name, ' From Server: ', text);
    client.end();
  });
  client.on('end', () => say(name, ' Client disconnected'));
  client.on('error', (error) => say('Socket Error:  ', JSON.stringify(error)));
  client.on('close', () => say('Socket Closed'));
  return client;
}

const wishes = {Dwarves: 'More Axes', Elves: 'More Arrows', Hobbits: 'More Pipe Weed'};
const clients = Object.entries(wishes).map(([name, wish]) => {
  const client = join(name);
  // Before there is a connection: it is queued until then.
  writeData(client, wish + '.'.repeat(flags.extra));
  return client;
});
atInterrupt(() => clients.forEach((client) => client.destroy()));
