// Connects, and says nothing until it is told to stop.
'use strict';
const {net, parseFlags, peer, complain, atInterrupt} = require('./program');

const client = net.connect(peer(parseFlags({port: 5000})));
client.on('error', complain);
atInterrupt(() => client.destroy());
