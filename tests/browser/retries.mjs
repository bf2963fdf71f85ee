// A player's retries while no media server serves it (protocol.md 3): they last for as long as the gate hides the outage, and
// end with the player's own error when it does so no more, so that a page can turn to another server.
//
//   npm install && node --test retries.mjs
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { startGate } from './gate.mjs';
import { startSite } from './site.mjs';

const UNHIDDEN = '[timeouts]\noutage_hold = "0s"\nupstream_total = "300ms"\n';

let site;
let silent; // accepts, and says nothing

before(async () => {
  site = await startSite();
  silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
});

after(async () => {
  silent?.close();
  await site?.stop();
});

test('while the gate hides an outage a player tries again and again', async (t) => {
  const { gaveUp, codes } = await retry(t, await closedPort(), '', 14);
  assert.deepEqual({ gaveUp, codes }, { gaveUp: false, codes: Array(14).fill(4503) });
});

for (const [what, port] of [['that is not there', closedPort], ['that says nothing', () => silent.address().port]]) {
  test(`an outage that is hidden no more ends a player's retries, with a media server ${what}`, async (t) => {
    const { gaveUp, codes } = await retry(t, await port(), UNHIDDEN, 100);
    assert.equal(gaveUp, true, `${codes.length} sockets`);
    assert.deepEqual(new Set(codes), new Set([4503]));
  });
}

/** Plays as a player does, without the seconds that it waits between two tries; at most so many sockets. */
async function retry(t, mediaPort, tables, most) {
  const gate = await startGate(mediaPort, { tables });
  t.after(() => gate.stop());
  const page = await site.open('page.test');
  t.after(() => page.close());
  const url = gate.url('abcde-one', await gate.mint({ streamname: 'abcde-one' }));
  return page.evaluate(async ([address, sockets]) => {
    const codes = [];
    for (let failed = 0; codes.length < sockets; ) {
      const socket = new WebSocket(address);
      let opened = Infinity;
      socket.onopen = () => (opened = performance.now());
      codes.push(await new Promise((resolve) => (socket.onclose = ({ code }) => resolve(code))));
      // What stood open for 200 ms gives a player all its tries back.
      failed = performance.now() - opened >= 200 ? 1 : failed + 1;
      if (failed > 10) return { gaveUp: true, codes };
    }
    return { gaveUp: false, codes };
  }, [url, most]);
}

/** A port on which nothing listens. */
async function closedPort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
