// The promises of the gate as a real browser, a real player and real pictures see them.
//
//   npm install && node --test run.mjs        H5GATE_BIN names another binary, H5GATE_SHOW_LOG=1 shows its log
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { RECEIPT, startGate, tampered } from './gate.mjs';
import { sha256, startOrigin } from './origin.mjs';
import { startSite } from './site.mjs';
import { until } from './until.mjs';

const SECURITY_KEYS = ['expires', 'tag', 'token', 'options', 'jwtoken'];

let origin;
let gate;
let site;
let expired; // a good token of abcde-one whose time has passed

before(async () => {
  origin = await startOrigin();
  gate = await startGate(origin.port);
  site = await startSite();
  expired = await gate.mint({ streamname: 'abcde-one', expires: String(unixNow() + 2) });
  await until('the token is expired', () => Date.now() >= expired.expires * 1000);
});

after(async () => {
  await site?.stop();
  try {
    await gate?.stop();
  } finally {
    await origin?.stop();
  }
});

test('a playback starts across sites and goes on past the expiry of its token', async (t) => {
  const page = await openPage(t, 'page.test');
  const security = await gate.mint({
    streamname: 'abcde-one',
    referer: 'page.test',
    tag: 'customer 7',
    expires: String(unixNow() + 4), // whole seconds: between three and four from now
  });
  const connection = await play(page, gate.url('abcde-one', security, { custom: 'a+b c' }));

  const start = await until('the picture moves', async () => playing(await look(page)));
  assert.equal(start.corner, 'red');
  await until('the token is expired', () => Date.now() >= security.expires * 1000);
  const atExpiry = await look(page);
  const end = await until('five seconds were played after the expiry', async () => {
    const now = playing(await look(page));
    return now.time >= atExpiry.time + 5 && now;
  }, 60_000);
  assert.equal(end.closed, null);
  await assertUnchanged(page, connection);

  const again = await page.evaluate((url) => player.attempt(url), gate.url('abcde-one', security));
  assertRefusal(again, 4903);

  // What the media server was told: everything but the viewer's secrets.
  assert.match(connection.url, /^\/h5live\/stream\/stream\.mp4\?/);
  for (const key of SECURITY_KEYS) assert.equal(connection.query.has(key), false, key);
  assert.doesNotMatch(connection.url, new RegExp(security.token.replaceAll('.', '\\.')));
  assert.equal(connection.query.get('url'), 'rtmp://localhost/play');
  assert.match(connection.url, /custom=a%2Bb%20c/);
  assert.match(connection.headers.origin, /^http:\/\/page\.test:/);
});

test('a stream is switched inside the socket, and only with a token for it', async (t) => {
  const page = await openPage(t, 'page.test');
  const security = await gate.mint({ streamname: 'abcde-one' });
  const connection = await play(page, gate.url('abcde-one', security));
  await until('the picture moves', async () => playing(await look(page)));

  const forTwo = await gate.mint({ streamname: 'abcde-two' });
  const elsewhere = await gate.mint({ streamname: 'abcde-two', referer: 'other.test' });
  const expiredForTwo = await gate.mint({ streamname: 'abcde-two', expires: String(unixNow() + 2) });
  await until('the token is expired', () => Date.now() >= expiredForTwo.expires * 1000);

  const denied = [
    ['a tampered token', { security: { ...forTwo, token: tampered(forTwo.token) } }, 4901],
    ['a tag that was not signed', { security: { ...forTwo, tag: 'other' } }, 4901],
    ['a token of another stream', { security }, 4901],
    ['a token for another site', { security: elsewhere }, 4901],
    ['no security, so the token the playback began with', {}, 4901],
    ['an expired token', { security: expiredForTwo }, 4903],
    ['no token', { security: { ...forTwo, token: undefined } }, 4903],
    ['no options', { security: { ...forTwo, options: undefined } }, 4903],
    ['a media source that is not configured', { security: forTwo, url: 'rtmp://other.test/play' }, 4400],
    ['a stream of another organisation', { stream: 'fghij-one', security: forTwo }, 4901],
  ];
  assert.ok(denied.length > 0);
  for (const [what, request, code] of denied) {
    await t.test(`denied: ${what}`, async () => {
      const before = await look(page);
      const asked = await page.evaluate((wanted) => player.switchTo(wanted), { stream: 'abcde-two', ...request });
      const error = await until('the error arrives', async () => {
        const { errors } = await look(page);
        return errors.find(({ requestId }) => requestId === asked.requestId);
      }, 10_000);
      assert.deepEqual(error, { ...asked, code });
      const now = await until('the old stream goes on', async () => {
        const found = await look(page);
        return found.time > before.time && found.bytes > before.bytes && found;
      });
      assert.equal(now.corner, 'red');
      assert.equal(now.closed, null);
    });
  }
  assert.deepEqual(connection.messages, []);
  await assertUnchanged(page, connection);

  const granted = [
    ['a token for it', 'abcde-two', forTwo, 'blue', 256],
    ['a token of the whole organisation', 'abcde-one', await gate.mint({ orga: 'abcde' }), 'red', 320],
  ];
  for (const [what, stream, good, corner, width] of granted) {
    await t.test(`granted: ${what}`, async () => {
      await page.evaluate((wanted) => player.switchTo(wanted), { stream, security: good });
      const switched = await until('the other picture is seen', async () => {
        const now = await look(page);
        return now.corner === corner && now.width === width && now;
      });
      await until('it moves', async () => (await look(page)).time > switched.time + 1);
      const told = connection.messages.at(-1);
      assert.equal(told.onUpdateSource.rtmp.stream, stream);
      assert.equal('security' in told.onUpdateSource, false);
    });
  }

  await t.test('a new token for the same stream is granted and changes nothing', async () => {
    await page.evaluate((wanted) => player.switchTo(wanted), { stream: 'abcde-one', security });
    await until('the media server says so', async () => (await texts(page)).some((text) => text.includes('equalsource')));
    assert.equal((await look(page)).corner, 'red');
  });
  await assertUnchanged(page, connection);
});

test('a refused socket opens, closes with its code, and is never seen by the media server', async (t) => {
  const page = await openPage(t, 'page.test');
  const other = await openPage(t, 'other.test');
  const one = 'abcde-one';
  const good = await gate.mint({ streamname: one });
  const dated = await gate.mint({ streamname: one, expires: String(unixNow() + 600), tag: 'a' });
  const forTwo = await gate.mint({ streamname: 'abcde-two' });
  const orga = await gate.mint({ orga: 'abcde' });
  const forPage = await gate.mint({ streamname: one, referer: 'page.test' });
  const here = await gate.mint({ streamname: one, ip: '127.0.0.1' });
  const elsewhere = await gate.mint({ streamname: one, ip: '192.0.2.1' });
  const check = { flags: 'checkandclose' };

  const table = [
    ['no stream', 4400, gate.url(undefined, good)],
    ['no url', 4400, gate.url(one, good, { url: undefined })],
    ['a url that is no RTMP URL', 4400, gate.url(one, good, { url: 'localhost' })],
    ['a url that is not configured', 4400, gate.url(one, good, { url: 'rtmp://other.test/play' })],
    ['two streams', 4400, `${gate.url(one, good)}&stream=abcde-two`],
    ['two tokens', 4400, `${gate.url(one, good)}&token=${forTwo.token}`],
    ['a tampered token', 4901, gate.url(one, { ...good, token: tampered(good.token) })],
    ['an expiry that was not signed', 4901, gate.url(one, { ...dated, expires: String(+dated.expires + 1) })],
    ['a tag that was not signed', 4901, gate.url(one, { ...dated, tag: 'b' })],
    ['a token of another stream', 4901, gate.url(one, forTwo)],
    ['a token of another organisation', 4901, gate.url('fghij-one', orga)],
    ['a token for another site', 4901, gate.url(one, forPage), other],
    ['a token for another address', 4901, gate.url(one, elsewhere)],
    ['no token', 4903, gate.url(one, { ...good, token: undefined })],
    ['no options', 4903, gate.url(one, { ...good, options: undefined })],
    ['an expired token', 4903, gate.url(one, expired)],
    ['no expires though it was signed', 4903, gate.url(one, { ...dated, expires: undefined })],
    ['the probe without a token', 4903, gate.url(one, {}, { ...check, cid: undefined, pid: undefined })],
    ['a check of a bad token', 4901, gate.url(one, { ...good, token: tampered(good.token) }, check)],
    ['a check of a good token', 4200, gate.url(one, good, check)],
    ['a check from the right site', 4200, gate.url(one, forPage, check)],
    ['a check from the right address', 4200, gate.url(one, here, check)],
  ];
  assert.ok(table.length > 0);
  const atFirst = origin.attempts;
  for (const [what, code, url, from = page] of table) {
    await t.test(`${code}: ${what}`, async () => {
      const before = origin.attempts;
      assertRefusal(await from.evaluate((address) => player.attempt(address), url), code);
      assert.equal(origin.attempts, before, 'the media server was asked');
    });
  }
  assert.equal(origin.attempts, atFirst, 'the media server was asked');
});

test('without a media server a viewer is told to come again, late enough to count as a retry', async (t) => {
  const page = await openPage(t, 'page.test');
  const lonely = await startGate(await closedPort());
  t.after(() => lonely.stop());
  const url = lonely.url('abcde-one', await lonely.mint({ streamname: 'abcde-one' }));
  const end = await page.evaluate((address) => player.attempt(address), url);
  assertRefusal(end, 4503);
  assert.ok(end.openMs >= 200, `open for ${end.openMs} ms only`);
});

test('a playback of metadata only carries metadata only', async (t) => {
  const page = await openPage(t, 'page.test');
  const security = await gate.mint({ streamname: 'abcde-one' });
  const connection = await play(page, gate.url('abcde-one', security, { flags: 'metastreamonly' }));
  await until('metadata came twice', async () => (await texts(page)).filter(isMetaData).length >= 2);
  assert.deepEqual(connection.sent, []);
  const now = await look(page);
  assert.equal(now.messages, 0);
  assert.equal(now.closed, null);
  await assertUnchanged(page, connection);
});

test('a paused playback is silent until it is told to play', async (t) => {
  const page = await openPage(t, 'page.test');
  const security = await gate.mint({ streamname: 'abcde-one' });
  const connection = await play(page, gate.url('abcde-one', security, { flags: 'paused,faststart' }));
  await until('metadata came', async () => (await texts(page)).some(isMetaData));
  assert.equal((await look(page)).messages, 0);

  await page.evaluate(() => player.play());
  await until('the picture moves', async () => playing(await look(page)));

  await page.evaluate(() => player.pause());
  await until('the media server paused', () => connection.messages.at(-1).eventType === 'onPause');
  const sent = connection.sent.length;
  await until('all that was under way arrived', async () => (await look(page)).messages === sent);

  const paused = await look(page);
  await page.evaluate(() => player.play());
  await until('it goes on', async () => (await look(page)).time > paused.time + 1);
  assert.deepEqual(connection.messages.map(({ eventType }) => eventType), ['onPlay', 'onPause', 'onPlay']);
  await assertUnchanged(page, connection);
});

test('every spelling of the path leads to the one that is configured', async (t) => {
  const security = await gate.mint({ streamname: 'abcde-one' });
  for (const spelling of ['', '/', '/stream.mp4', '/stream.mp4/']) {
    await t.test(`/h5live/authstream${spelling}`, async (t) => {
      const place = { host: '127.0.0.1', path: `/h5live/authstream${spelling}` };
      const client = await connect(t, gate.url('abcde-one', security, {}, place));
      await until('media arrives', () => client.received.length > 0);
      assert.match(client.connection.url, /^\/h5live\/stream\/stream\.mp4\?/);
    });
  }
});

// Refusals are placed between two frames of the media server. Live pictures come in small messages; the burst comes
// in large ones without a pause, so that nearly every refusal meets a frame that is half written.
for (const [stream, switchesPerMessage] of [['abcde-one', 10], ['abcde-burst', 1]]) {
  test(`fifty denied switches leave every byte of ${stream} as it was`, async (t) => {
    const SWITCHES = 50;
    const security = await gate.mint({ streamname: stream });
    const client = await connect(t, gate.url(stream, security, {}, { host: '127.0.0.1' }));
    const expected = [];
    client.onBinary = () => {
      for (let i = 0; i < switchesPerMessage && expected.length < SWITCHES; i++) {
        const requestId = expected.length + 1;
        const asked = { tag: `t${requestId}`, count: requestId };
        const rtmp = { url: 'rtmp://localhost/play', stream: 'abcde-two' };
        client.say('onUpdateSource', { options: {}, ...asked, rtmp, security }, requestId);
        expected.push({ ...asked, requestId, code: 4901 });
      }
    };
    await until('all errors came', () => client.errors.length >= SWITCHES);
    const before = client.received.length;
    await until('media goes on', () => client.received.length > before);

    assert.deepEqual(client.errors, expected);
    const { sent, messages } = client.connection;
    assert.deepEqual(client.received, sent.slice(0, client.received.length));
    assert.deepEqual(messages, []);
  });
}

// --- the browser's side ---

async function openPage(t, host) {
  const page = await site.open(host);
  t.after(() => page.close());
  return page;
}

/** Opens the player's socket and returns the media server's end of it. */
async function play(page, url) {
  await page.evaluate((address) => player.open(address), url);
  return connectionOf(url, async () => (await look(page)).closed);
}

function look(page) {
  return page.evaluate(() => player.look());
}

function texts(page) {
  return page.evaluate(() => state.texts);
}

function playing(now) {
  assert.equal(now.failed, null);
  assert.equal(now.closed, null);
  assert.deepEqual(now.problems, []);
  return now.corner && now.time > 0.3 && now;
}

/** The page has, message by message, what the media server sent; only the gate's own errors are added. */
async function assertUnchanged(page, connection) {
  const hashes = (await page.evaluate(() => player.received())).map((bytes) => sha256(Buffer.from(bytes, 'base64')));
  const own = (await texts(page)).filter((text) => !text.includes('onUpdateSourceError'));
  assert.ok(own.length > 0);
  assert.deepEqual(hashes, connection.sent.slice(0, hashes.length));
  assert.deepEqual(own, connection.texts.slice(0, own.length));
}

function assertRefusal({ opened, code, reason, wasClean }, expected) {
  assert.equal(code, expected, reason);
  // A passed check is no refusal, so it may come without a receipt.
  assert.match(reason, new RegExp(`^code ${expected}${expected === 4200 ? `( ${RECEIPT})?` : ` ${RECEIPT}`}$`));
  assert.ok(opened, 'the upgrade itself was refused');
  assert.ok(wasClean, 'the connection was cut');
}

function isMetaData(text) {
  return text.includes('"onMetaData"');
}

// --- a client without a browser ---

/** A WebSocket client that records what comes: hashes of binary messages, bodies of errors. */
async function connect(t, url) {
  const socket = new WebSocket(url);
  t.after(() => socket.terminate());
  const client = {
    received: [],
    errors: [],
    onBinary() {},
    say: (eventType, body, requestId) => socket.send(JSON.stringify({ eventType, [eventType]: body, requestId })),
  };
  let closed = null;
  socket.on('error', (error) => (closed = error.message));
  socket.on('close', (code, reason) => (closed ??= `${code} ${reason}`));
  socket.on('message', (data, isBinary) => {
    if (isBinary) {
      client.received.push(sha256(data));
      client.onBinary();
    } else {
      const { onUpdateSourceError } = JSON.parse(data);
      if (onUpdateSourceError) client.errors.push(onUpdateSourceError);
    }
  });
  client.connection = await connectionOf(url, () => closed);
  return client;
}

// --- small things ---

/** The media server's connection of this playback, found by its cid. */
function connectionOf(url, ended) {
  const cid = new URL(url).searchParams.get('cid');
  return until('the media server is reached', async () => {
    const found = origin.connections.find(({ query }) => query.get('cid') === cid);
    if (found) return found;
    const end = await ended();
    if (end) assert.fail(`the playback was refused: ${JSON.stringify(end)}`);
  });
}

function unixNow() {
  return Math.floor(Date.now() / 1000);
}

async function closedPort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
