// Says one thing, prints the answer, and leaves.
'use strict';
const {net, parseFlags, peer, say, complain, atInterrupt} = require('./program');

const client = net.connect(peer(parseFlags({port: 8107})), () => {
  say('Client connected');
  client.write('some data \r\n');
});
client.on('data', (data) => {
  say(data);
  client.end();
});
client.on('end', () => say('Client disconnected'));
client.on('error', complain);
atInterrupt(() => client.destroy());
