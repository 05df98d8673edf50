// Loaded into Node before the program, by `--require`: where the program listens on a port that dogwatch holds for
// it, it gets that socket instead of opening its own. So the program stays as it is, and no connection is refused
// while it restarts. Only in the process that LISTEN_PID names; a helper of it listens as it always did.
'use strict';

if (Number(process.env.LISTEN_PID) === process.pid) {
  const net = require('node:net');
  const held = new Map(); // port -> descriptors that nobody listens on yet
  (process.env.LISTEN_FDNAMES ?? '').split(':').forEach((name, index) => {
    const port = /^tcp([0-9]+)$/.exec(name)?.[1];
    if (port) held.set(port, [...(held.get(port) ?? []), 3 + index]);
  });

  const listen = net.Server.prototype.listen;
  net.Server.prototype.listen = function listenOnHeld(...words) {
    const options = words[0] !== null && typeof words[0] === 'object' ? words[0] : { port: words[0] };
    const fd = options.fd === undefined ? held.get(String(options.port))?.shift() : undefined;
    if (fd === undefined) return listen.apply(this, words);
    const ready = words.findLast((word) => typeof word === 'function');
    const inherited = options.signal === undefined ? { fd } : { fd, signal: options.signal };
    return ready === undefined ? listen.call(this, inherited) : listen.call(this, inherited, ready);
  };
}
