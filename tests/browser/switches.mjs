// Switches as players write them (protocol.md 5): the source in `params`, and switches that follow one another faster than the
// media server answers. None of them ends a playback.
//
//   npm install && node --test switches.mjs
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startGate, tampered } from './gate.mjs';
import { startOrigin } from './origin.mjs';
import { startSite } from './site.mjs';
import { until } from './until.mjs';

const SOURCE = 'rtmp://localhost/play';
const ONE = { stream: 'abcde-one', corner: 'red' };
const TWO = { stream: 'abcde-two', corner: 'blue' };
const source = ({ stream }) => ({ url: SOURCE, stream });

// How many switches wait for an answer at once, and how many may be without one in all.
const WAITING = 24;
const UNANSWERED = 64;

let origin, gate, site;

before(async () => {
  origin = await startOrigin();
  gate = await startGate(origin.port);
  site = await startSite();
});

after(async () => {
  await site?.stop();
  try {
    await gate?.stop();
  } finally {
    await origin?.stop();
  }
});

test('the source of a switch may stand in params, alone or a second time', async (t) => {
  const { page, connection } = await play(t, ONE);
  const forOne = await gate.mint({ streamname: ONE.stream });
  const forTwo = await gate.mint({ streamname: TWO.stream });
  const query = `?stream=${ONE.stream}&url=${encodeURIComponent(SOURCE)}&custom=a%2Bb`;
  const table = [
    ['in params alone', TWO, { params: source(TWO), security: forTwo }, source(TWO)],
    ['in rtmp and params', ONE, { rtmp: source(ONE), params: source(ONE), security: forOne }, source(ONE)],
    ['in params alone, with its token', TWO, { params: { ...source(TWO), ...forTwo } }, source(TWO)],
    ['in params alone, as a query', ONE, { params: query, security: forOne }, query],
    [
      'a part in each, the token in both, a custom key',
      TWO,
      { rtmp: { url: SOURCE }, params: { stream: TWO.stream, ...forTwo, custom: 'a+b' }, security: forTwo },
      { stream: TWO.stream, custom: 'a+b' },
    ],
  ];
  for (const [what, camera, body, params] of table) {
    await t.test(what, async () => {
      const { tag, count, requestId } = await page.evaluate((wanted) => player.update(wanted), body);
      await seen(page, camera);
      assert.deepEqual(connection.messages.at(-1), {
        eventType: 'onUpdateSource',
        onUpdateSource: { options: { faststart: true }, tag, count, params: parsed(params), rtmp: source(camera) },
        requestId,
      }, 'what the media server was told');
      assert.deepEqual((await look(page)).errors, []);
    });
  }
  assert.equal(connection.messages.length, table.length);

  /** A query goes on with its pairs in any order. */
  function parsed(params) {
    if (typeof params !== 'string') return params;
    const told = connection.messages.at(-1).onUpdateSource.params;
    const sorted = (query) => [...new URLSearchParams(query)].sort().toString();
    return sorted(told) === sorted(params) ? told : params;
  }
});

test('a switch that names two sources or shows a wrong token is refused in band, and the old stream plays on', async (t) => {
  const { page, connection } = await play(t, ONE);
  const forTwo = await gate.mint({ streamname: TWO.stream });
  const bad = { ...forTwo, token: tampered(forTwo.token) };
  // The connection's own token is good for both streams: what is refused is what the switch itself says.
  const table = [
    ['another stream in params', 4400, { rtmp: source(TWO), params: source(ONE) }],
    ['another url in params', 4400, { rtmp: source(TWO), params: { ...source(TWO), url: 'rtmp://localhost/splay' } }],
    ['another stream in a query', 4400, { rtmp: source(TWO), params: `stream=${ONE.stream}` }],
    ['another spelling of the key', 4400, { rtmp: source(TWO), params: { Stream: ONE.stream } }],
    ['two streams in a query', 4400, { params: `url=${encodeURIComponent(SOURCE)}&stream=${TWO.stream}&stream=${ONE.stream}` }],
    ['a url that is not configured, in params alone', 4400, { params: { ...source(TWO), url: 'rtmp://other.test/play' } }],
    ['no stream in params', 4400, { params: { url: SOURCE } }],
    ['two tokens', 4400, { params: { ...source(TWO), ...forTwo }, security: bad }],
    ['a wrong token in params', 4901, { params: { ...source(TWO), ...bad } }],
    ['a wrong token in a query', 4901, { params: new URLSearchParams({ ...source(TWO), ...filled(bad) }).toString() }],
    ['a wrong token beside params', 4901, { params: source(TWO), security: bad }],
    ['a token of another stream in params', 4901, { params: { ...source(ONE), ...forTwo } }],
    ['a token without options in params', 4903, { params: { ...source(TWO), token: forTwo.token } }],
  ];
  for (const [what, code, body] of table) {
    await t.test(`${code}: ${what}`, async () => {
      const before = await look(page);
      const asked = await page.evaluate((wanted) => player.update(wanted), body);
      const error = await until('the refusal is there', async () =>
        (await look(page)).errors.find(({ requestId }) => requestId === asked.requestId));
      assert.deepEqual(error, { ...asked, code });
      const now = await until('the old stream plays on', async () => {
        const now = await look(page);
        return (now.closed || (now.time > before.time && now.bytes > before.bytes)) && now;
      });
      assert.deepEqual([now.closed, now.failed, now.corner], [null, null, ONE.corner]);
    });
  }
  assert.deepEqual(connection.messages, [], 'nothing of it came to the media server');
});

for (const [milliseconds, count] of [[600, 12], [100, 20]]) {
  test(`a switch every ${milliseconds} ms, of which the media server answers the last`, async (t) => {
    const { page, connection, security } = await play(t, ONE);
    // Each round begins with another stream than the one that plays, and ends with it.
    for (const [round, last] of [TWO, ONE].entries()) {
      const other = last === TWO ? ONE : TWO;
      const streams = Array.from({ length: count }, (_, index) => ((count - index) % 2 ? last : other).stream);
      const before = await look(page);
      connection.answers = false;
      const asked = await page.evaluate((wanted) => player.switchThrough(...wanted), [streams, milliseconds, security]);
      await until('all have come to the media server', () => connection.messages.length === count * (round + 1));
      const meanwhile = await look(page);
      assert.deepEqual([meanwhile.closed, meanwhile.errors, meanwhile.corner], [null, [], other.corner]);
      assert.ok(meanwhile.messages > before.messages, 'media goes on meanwhile');

      connection.answerLast();
      connection.answers = true;
      await seen(page, last);
      const told = (await texts(page)).filter(({ eventType }) => eventType === 'onUpdateSourceSuccess');
      assert.equal(told.at(-1).onUpdateSourceSuccess.requestId, asked.at(-1).requestId);
      // The connect's own, and one for each round.
      assert.equal(told.length, round + 2);
    }
  });
}

test('switches beyond those that may wait are refused in band', async (t) => {
  const { page, connection, security } = await play(t, ONE);
  connection.answers = false;
  const BEYOND = 16;
  const streams = Array(WAITING + BEYOND).fill(TWO.stream);
  const asked = await page.evaluate((wanted) => player.switchThrough(...wanted), [streams, 25, security]);
  const errors = await until('all of them are answered or under way', async () => {
    const { errors, closed } = await look(page);
    return (closed || errors.length === BEYOND) && errors;
  });
  assert.deepEqual(errors, asked.slice(WAITING).map((names) => ({ ...names, code: 4503 })));
  assert.equal(connection.messages.length, WAITING);
  await goesOn(page, ONE);

  connection.answerLast();
  connection.answers = true;
  await seen(page, TWO);
  await page.evaluate((wanted) => player.switchTo(wanted), { stream: ONE.stream, security });
  await seen(page, ONE);
});

test('a media server that never answers loses no viewer, however often it switches', async (t) => {
  const hasty = await startGate(origin.port, { tables: '[timeouts]\nswitch_answer = "300ms"\n' });
  t.after(() => hasty.stop());
  const { page, connection, security } = await play(t, ONE, hasty);
  connection.answers = false;
  const BEYOND = 6;
  const streams = Array(UNANSWERED + BEYOND).fill(TWO.stream);
  const asked = await page.evaluate((wanted) => player.switchThrough(...wanted), [streams, 50, security]);
  const errors = await until('those beyond are refused', async () => {
    const { errors, closed } = await look(page);
    return (closed || errors.length === BEYOND) && errors;
  });
  assert.deepEqual(errors, asked.slice(UNANSWERED).map((names) => ({ ...names, code: 4503 })));
  assert.equal(connection.messages.length, UNANSWERED);
  await goesOn(page, ONE);

  // It answers after all: its word settles them, and there is room again.
  connection.answerLast();
  connection.answers = true;
  await seen(page, TWO);
  await page.evaluate((wanted) => player.switchTo(wanted), { stream: ONE.stream, security });
  await seen(page, ONE);
});

// --- small things ---

/** A page that plays a stream with a token for all of its organisation, and the media server's end of that. */
async function play(t, camera, through = gate) {
  const page = await site.open('page.test');
  t.after(() => page.close());
  const security = await through.mint({ orga: 'abcde' });
  const before = origin.connections.length;
  await page.evaluate((url) => player.open(url), through.url(camera.stream, security));
  const connection = await until('the media server is reached', () => origin.connections[before]);
  await seen(page, camera);
  return { page, connection, security };
}

/** The picture of a camera is seen, and moves. */
async function seen(page, camera) {
  const then = await until(`${camera.stream} is seen`, async () => {
    const now = await look(page);
    assert.deepEqual([now.closed, now.failed, now.problems], [null, null, []]);
    return now.corner === camera.corner && now.time > 0 && now;
  });
  await until('it moves', async () => (await look(page)).time > then.time + 0.3);
}

/** The picture of a camera moves for as long as it takes to see that nothing ends it. */
async function goesOn(page, camera) {
  const before = await look(page);
  await until('it goes on for a second', async () => {
    const now = await look(page);
    assert.deepEqual([now.closed, now.failed, now.corner], [null, null, camera.corner]);
    return now.time > before.time + 1 && now.messages > before.messages;
  });
}

function look(page) {
  return page.evaluate(() => player.look());
}

async function texts(page) {
  return (await page.evaluate(() => state.texts)).map((text) => JSON.parse(text));
}

/** What a player puts into a query: empty values are left out. */
function filled(security) {
  return Object.fromEntries(Object.entries(security).filter(([, value]) => value !== ''));
}
