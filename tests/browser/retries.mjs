// When a player tries again (protocol.md 3): for as long as the gate hides that no media server serves it, and no more once a
// media server says that there is nothing to be had, so that a page can turn to another server.
//
//   npm install && node --test retries.mjs
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { RECEIPT, startGate } from './gate.mjs';
import { startSite } from './site.mjs';

const UNHIDDEN = '[timeouts]\noutage_hold = "0s"\nupstream_total = "300ms"\n';

// More than a player's tries, if they are not given back to it.
const MANY = 14;

let site;
let silent; // accepts, and says nothing
let refusing; // answers each upgrade with the status that its stream's name ends in
let upgrades = 0;

before(async () => {
  site = await startSite();
  silent = createServer(() => {}).listen(0, '127.0.0.1');
  refusing = createHttpServer((_, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
  refusing.on('upgrade', (request, socket) => {
    upgrades += 1;
    const status = /stream=abcde-(\d+)/.exec(request.url)[1];
    const more = status.startsWith('3') ? 'Location: /elsewhere\r\n' : '';
    socket.end(`HTTP/1.1 ${status} No\r\n${more}Content-Length: 0\r\nConnection: close\r\n\r\n`);
  });
  await Promise.all([once(silent, 'listening'), once(refusing, 'listening')]);
});

after(async () => {
  silent?.close();
  refusing?.close();
  await site?.stop();
});

test('while the gate hides an outage a player tries again and again', async (t) => {
  const { end, closes } = await retry(t, await startBefore(t, await closedPort()));
  assert.deepEqual([end, closes.length], ['still trying', MANY]);
  allAre(closes, 4503);
});

for (const [what, port] of [['that is not there', closedPort], ['that says nothing', () => silent.address().port]]) {
  test(`an outage that is hidden no more ends a player's retries, with a media server ${what}`, async (t) => {
    const gate = await startBefore(t, await port(), { tables: UNHIDDEN });
    const { end, closes } = await retry(t, gate, { most: 100 });
    assert.equal(end, 'gave up', `${closes.length} sockets`);
    allAre(closes, 4503);
  });
}

test("a media server's status ends a player's retries, or lets it try again", async (t) => {
  const gate = await startBefore(t, refusing.address().port);
  const final = [400, 401, 403, 404, 405, 410, 451, 499].map((status) => [status, 4400]);
  const retried = [
    ...[408, 425, 429, 500, 502, 503, 504].map((status) => [status, 4503]),
    ...[200, 204, 302, 407, 421, 426].map((status) => [status, 4500]),
  ];
  for (const [status, code] of final) {
    await t.test(`${status}: ${code}, final`, async (t) => {
      const before = upgrades;
      const { end, closes } = await retry(t, gate, { stream: `abcde-${status}` });
      assert.deepEqual([end, closes.length], ['final', 1]);
      allAre(closes, code);
      assert.equal(upgrades - before, 1, 'the media server was asked once');
    });
  }
  for (const [status, code] of retried) {
    await t.test(`${status}: ${code}, retried`, async (t) => {
      const before = upgrades;
      // One socket shows the code, and a page that goes on after it was told to try again.
      const most = [503, 429, 302].includes(status) ? MANY : 2;
      const { end, closes } = await retry(t, gate, { stream: `abcde-${status}`, most });
      assert.deepEqual([end, closes.length], ['still trying', most]);
      allAre(closes, code);
      assert.ok(upgrades > before, 'the media server was asked');
    });
  }
});

/** A gate before the media server on this port. */
async function startBefore(t, mediaPort, more) {
  const gate = await startGate(mediaPort, more);
  t.after(() => gate.stop());
  return gate;
}

/**
 * Plays as a player does, without the seconds that it waits between two tries; at most so many sockets. Each try has a `cid` of
 * its own.
 */
async function retry(t, gate, { stream = 'abcde-one', most = MANY } = {}) {
  const page = await site.open('page.test');
  t.after(() => page.close());
  const security = await gate.mint({ orga: 'abcde' });
  const urls = Array.from({ length: most }, () => gate.url(stream, security));
  return page.evaluate(async (addresses) => {
    const RETRIED = [4500, 4503, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1015];
    const closes = [];
    let failed = 0;
    for (const address of addresses) {
      const socket = new WebSocket(address);
      let opened = Infinity;
      socket.onopen = () => (opened = performance.now());
      const { code, reason, wasClean } = await new Promise((resolve) => (socket.onclose = resolve));
      closes.push({ code, reason, wasClean });
      // Old browsers read the code from there.
      const told = Number(reason.split(' ')[1] ?? code);
      if (!RETRIED.includes(told)) return { end: 'final', closes };
      // What stood open for 200 ms gives a player all its tries back.
      failed = performance.now() - opened >= 200 ? 1 : failed + 1;
      if (failed > 10) return { end: 'gave up', closes };
    }
    return { end: 'still trying', closes };
  }, urls);
}

/** Every close has this code, and the reason that belongs to it. */
function allAre(closes, code) {
  assert.ok(closes.length > 0);
  const receipts = new Set();
  for (const close of closes) {
    assert.match(close.reason, new RegExp(`^code ${code} ${RECEIPT}$`));
    assert.deepEqual({ code: close.code, wasClean: close.wasClean }, { code, wasClean: true });
    receipts.add(close.reason);
  }
  assert.equal(receipts.size, closes.length, 'each refusal has a receipt of its own');
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
