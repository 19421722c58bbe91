// Writes every second, also when the server has ended the connection.
'use strict';
const {net, parseFlags, peer, say, complain, atInterrupt} = require('./program');

const flags = parseFlags({port: 5000, interval: 1000});
let interval;
const client = net.connect(peer(flags), () => {
  say('connect to server!');
  interval = setInterval(() => {
    client.write('testing~', (error) => {
      if (error) say('error: ', error.code);
    });
  }, flags.interval);
});
client.on('data', (data) => say('receive:  <', data.toString('hex').match(/../g).join(' '), '>'));
client.on('end', () => say('disconnected.'));
client.on('error', complain);
atInterrupt(() => {
  clearInterval(interval);
  client.destroy();
});
