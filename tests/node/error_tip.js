// A connection that breaks, with a listener for 'error' and without.
'use strict';
const {net, parseFlags, peer, say, atInterrupt} = require('./program');

const flags = parseFlags({port: 8124, listener: false});
const client = net.connect(peer(flags), () => say('connected to server'));
client.on('close', () => say('connection is closed'));
client.resume();
if (flags.listener) client.on('error', () => {});
atInterrupt(() => client.destroy());
