// Says "world!", and ends its side with every answer.
'use strict';
const {net, parseFlags, peer, say, complain, atInterrupt} = require('./program');

const client = net.connect(peer(parseFlags({port: 8124})), () => {
  say('client connected');
  client.write('world!\r\n');
});
client.on('data', (data) => {
  say(data);
  client.end(); // harmless when it is not the first time
});
client.on('end', () => say('client disconnected'));
client.on('error', complain);
atInterrupt(() => client.destroy());
