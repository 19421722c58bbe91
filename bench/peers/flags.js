// The flags of the peers in Node, the lines that they print, and signals.
'use strict';

const kReadBuffer = 64 * 1024;

// `--port N`, `--unix PATH`; `--version` prints Node's and leaves.
function parse() {
  const options = { host: '127.0.0.1', port: 0, path: undefined };
  for (let i = 2; i < process.argv.length; ++i) {
    const flag = process.argv[i];
    if (flag === '--version') {
      console.log(process.versions.node);
      process.exit(0);
    }
    const value = process.argv[++i];
    if (flag === '--port' && /^\d+$/.test(value)) {
      options.port = Number(value);
    } else if (flag === '--unix' && value) {
      options.path = value;
    } else {
      console.error('usage: [--port N] [--unix PATH] [--version]');
      process.exit(2);
    }
  }
  return options;
}

function listen(server, { host, port, path }) {
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
  const place = path === undefined ? { host, port } : { path };
  server.listen({ ...place, backlog: 4096 }, () => {
    const where = path ?? `${host}:${server.address().port}`;
    process.stdout.write(`listening on ${where}\nbackend node: ${process.versions.node}\n`);
  });
}

module.exports = { kReadBuffer, parse, listen };
