// What the project's own media servers say, read by a page as strictly as published players read it: the demo's, and the
// load test's.
//
//   npm install && node --test dialect.mjs        H5GATE_BIN names another binary
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { gateBinary } from './built.mjs';
import { startDemo } from './demo-gate.mjs';
import { startGate } from './gate.mjs';
import { startSite } from './site.mjs';
import { until } from './until.mjs';

const CAMERA_1 = { stream: 'demo1-camera1', width: 640, height: 360 };
const LOW = { stream: 'demo1-camera1-low', width: 320, height: 180 };
const CAMERA_2 = { stream: 'demo1-camera2', width: 512, height: 288 };

let site, demo, info;

before(async () => {
  site = await startSite();
  demo = await startDemo();
  info = await (await fetch(`${demo.url}/demo/info`)).json();
});

after(async () => {
  await demo?.stop();
  await site?.stop();
});

test('the demo plays in a page that reads every field, and changes its stream there', async (t) => {
  const page = await open(t);
  const security = await mint({ orga: info.organisation });
  await page.evaluate((url) => player.open(url), demoUrl(CAMERA_1.stream, security));
  await plays(page, CAMERA_1);
  const [first, second] = (await texts(page)).map(({ eventType }) => eventType);
  assert.deepEqual([first, second], ['onServerInfo', 'onUpdateSourceSuccess']);
  const { events } = (await texts(page))[0].onServerInfo;
  const told = new Set((await texts(page)).slice(1).map(({ eventType }) => eventType));
  for (const event of told) assert.ok(events.includes(event), `${event} is not announced`);

  for (const camera of [LOW, CAMERA_2, CAMERA_1]) {
    await page.evaluate((wanted) => player.switchTo(wanted), { ...camera, security });
    await plays(page, camera);
  }

  const refused = [
    ['equalsource', { stream: CAMERA_1.stream, security }],
    ['notfound', { stream: 'demo1-nothing', security }],
    ['"code":4901', { stream: CAMERA_2.stream, security: await mint({ streamname: CAMERA_1.stream }) }],
  ];
  for (const [what, wanted] of refused) {
    const { tag, count, requestId } = await page.evaluate((wanted) => player.switchTo(wanted), wanted);
    const answer = await until(`the answer ${what}`, async () => (await texts(page)).find((text) => {
      const body = text[text.eventType];
      return body.requestId === requestId && JSON.stringify(text).includes(what);
    }));
    const body = answer[answer.eventType];
    assert.deepEqual([body.tag, body.count], [tag, count]);
    await plays(page, CAMERA_1);
  }
});

test('a viewer beside HLS and a paused one are told as much', async (t) => {
  for (const flags of ['metastreamonly', 'paused']) {
    const page = await open(t);
    const url = demoUrl(CAMERA_1.stream, await mint({ streamname: CAMERA_1.stream }), { flags });
    await page.evaluate((url) => player.open(url), url);
    await until('the stream is known', () => page.evaluate(() => state.streamInfo));
    if (flags === 'paused') {
      await page.evaluate(() => player.play());
      await plays(page, CAMERA_1);
    } else {
      await until('metadata comes', async () => (await texts(page)).some(({ eventType }) => eventType === 'onMetaData'));
    }
    assert.deepEqual(await problems(page), []);
  }
});

test("the load test's origin is read as well", async (t) => {
  const child = spawn(gateBinary(), ['load', '--origin', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const gate = await startGate(Number(/^origin on [\d.]+:(\d+)/.exec(line)[1]));
  t.after(() => gate.stop());

  const page = await open(t);
  const security = await gate.mint({ orga: 'abcde' });
  await page.evaluate((url) => player.open(url, { show: false }), gate.url('abcde-one', security));
  const info = await until('the stream is known', () => page.evaluate(() => state.streamInfo));
  assert.equal(info.stream, 'abcde-one');
  await until('media comes', () => page.evaluate(() => state.binary.length > 2));
  for (const [stream, event] of [['abcde-two', 'onUpdateSourceSuccess'], ['abcde-two', 'onUpdateSourceAbort']]) {
    const { requestId } = await page.evaluate((wanted) => player.switchTo(wanted), { stream, security });
    await until(event, async () => (await texts(page)).find((text) => text[event]?.requestId === requestId));
  }
  assert.deepEqual(await problems(page), []);
});

test('the page throws where a published player throws', async (t) => {
  const page = await open(t);
  const info = { mimeType: 'video/mp4', haveVideo: true, haveAudio: true };
  const video = { width: 1, height: 1, frameRate: 25 };
  const audio = { sampleRate: 48_000, channels: 1, bitsPerSample: 16 };
  const bad = [
    ['onServerInfo', { capabilities: [] }],
    ['onStreamInfo', { ...info, audioInfo: audio }],
    ['onStreamInfo', { ...info, videoInfo: video }],
    ['onStreamInfo', { ...info, videoInfo: video, audioInfo: { ...audio, channels: undefined } }],
    ['onUpdateSourceSuccess', { tag: '', count: 0 }],
    ['onUpdateSourceError', { tag: '', count: 0, requestId: 0 }],
  ];
  for (const [event, body] of bad) {
    await assert.rejects(page.evaluate(([event, body]) => player.read(event, body), [event, body]), /TypeError/, JSON.stringify(body));
  }
  const good = { ...info, videoInfo: video, audioInfo: audio };
  await page.evaluate((body) => player.read('onStreamInfo', body), good);
});

// --- small things ---

async function open(t) {
  const page = await site.open('page.test');
  t.after(() => page.close());
  return page;
}

/** This camera's picture is seen, is what was said of it, and moves. */
async function plays(page, { stream, width, height }) {
  const look = async () => {
    const now = await page.evaluate(() => ({ ...player.look(), info: state.streamInfo }));
    assert.deepEqual([now.problems, now.failed, now.closed], [[], null, null]);
    return now;
  };
  const seen = await until(`${stream} is seen`, async () => {
    const now = await look();
    return now.time > 0 && now.width === width && now.info.stream === stream && now;
  });
  assert.deepEqual(seen.info.videoInfo, { width, height, frameRate: 25 });
  assert.deepEqual(seen.info.audioInfo, { sampleRate: 48_000, channels: 1, bitsPerSample: 16 });
  await until('it moves', async () => (await look()).time > seen.time + 0.5);
}

async function texts(page) {
  return (await page.evaluate(() => state.texts)).map((text) => JSON.parse(text));
}

function problems(page) {
  return page.evaluate(() => state.problems);
}

/** A token from the demo's API. */
async function mint(wanted) {
  const headers = { 'Content-Type': 'application/json', 'X-BINTU-APIKEY': info.api_key };
  const response = await fetch(`${demo.url}/secure/token`, { method: 'POST', headers, body: JSON.stringify(wanted) });
  assert.equal(response.status, 200);
  return (await response.json()).h5live.security;
}

function demoUrl(stream, security, more = {}) {
  const set = Object.entries({ url: info.url, stream, cid: '1', pid: '2', ...security, ...more }).filter(([, value]) => value !== '');
  const query = set.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&');
  return `ws://media.test:${demo.port}/h5live/authstream/stream.mp4?${query}`;
}
