// The promises of `h5gate demo`: its page in two real browsers, and what its terminal says.
//
//   npm install && node --test demo.mjs       H5GATE_BIN names another binary, CHROMIUM and FIREFOX other browsers
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import WebSocket from 'ws';
import { BROWSERS, freePort, spawnDemo, startDemo } from './demo-gate.mjs';
import { until } from './until.mjs';

const RECEIPT = /^[0-9A-HJKMNP-TV-Z]{10}$/;
const HIGH = { stream: 'demo1-camera1', size: '640x360' };
const LOW = { stream: 'demo1-camera1-low', size: '320x180' };
const OTHER = { stream: 'demo1-camera2', size: '512x288' };
const PAST_EXPIRY_S = 13; // how long a picture is watched after the expiry of its token
const STILL_MS = 2_000; // a picture that stands for longer has stopped
const SILENT_MS = 1_000; // a playing stream sends a fragment every 320 ms
const AT_ONCE_MS = 1_000;

const REFUSALS = {
  'expired': 4903,
  'wrong-stream': 4901,
  'other-organisation': 4901,
  'wrong-referer': 4901,
  'wrong-ip': 4901,
  'tampered': 4901,
  'missing': 4903,
  'masked-down': 4901,
  'in-band': 4901,
};

/** Whether a browser plays HLS by itself: Debian's Chromium does, its Firefox ESR does not. */
const PLAYS_HLS = { chromium: true, firefox: false };

describe('the page', { concurrency: true }, () => {
  for (const [name, start] of Object.entries(BROWSERS)) test(name, (t) => tryPage(t, name, start));
});

async function tryPage(t, name, start) {
  const demo = await startDemo();
  t.after(() => demo.stop());
  const browser = await start();
  t.after(() => browser.stop());
  const page = await browser.open(demo.url);

  await t.test('it is ready and asks for nothing before Play', async () => {
    const { state, gate, noticed, enabled } = await comesTo(page, 'it is ready', ({ ready }) => ready);
    assert.equal(state, 'idle');
    assert.equal(gate, demo.url);
    assert.equal(noticed, false);
    assert.deepEqual(enabled, { renew: false, reconnect: false });
  });

  await t.test('Play shows a moving picture', async () => {
    await page.click('#start');
    const now = await seen(page, HIGH);
    assert.equal(now.token, 'valid');
    assert.deepEqual(now.enabled, { renew: true, reconnect: true });
    assert.ok(now.secondsLeft > 0 && now.secondsLeft <= 30, `${now.secondsLeft} s left`);
  });

  await t.test('camera and quality are switched in the socket, each with a fresh token', async () => {
    const switches = [
      ['#cameras [data-value="Camera 2"]', OTHER],
      ['#cameras [data-value="Camera 1"]', HIGH],
      ['#qualities [data-value="low"]', LOW],
      ['#qualities [data-value="high"]', HIGH],
    ];
    const samples = [await look(page)];
    for (const [button, picture] of switches) {
      const before = samples.at(-1);
      await page.click(button);
      const now = await seen(page, picture, samples);
      assert.ok(await page.evaluate((where) => document.querySelector(where).matches('[aria-pressed="true"]'), button));
      assert.notEqual(now.security.token, before.security.token);
      assertSameSocket(before, now, 1);
    }
    assertMoved(samples);
  });

  await t.test('the configuration that is copied plays as it is, for the stream that is shown', async (t) => {
    for (const [button, picture] of [[null, HIGH], ['#qualities [data-value="low"]', LOW], ['#qualities [data-value="high"]', HIGH]]) {
      if (button) await page.click(button);
      const before = await seen(page, picture);
      await page.click('#configuration-copy');
      const told = await until('it is copied', () => page.evaluate(() => {
        const [copy, status, text] = ['copy', 'status', 'text'].map((name) => document.getElementById(`configuration-${name}`));
        return copy.getAttribute('aria-disabled') === 'false' && {
          status: status.textContent, shown: !text.hidden && text.textContent, focused: document.activeElement.id,
        };
      }));
      assert.match(told.status, /good for an hour. Copied\.$/);
      assert.equal(told.focused, 'configuration-copy');

      const copied = await page.paste('#mint-tag');
      await page.type('#mint-tag', '');
      const configuration = new Function(`return (${copied})`)();
      assert.deepEqual(configuration, JSON.parse(told.shown));
      await assertPlays(t, configuration, picture);
      assertSameSocket(before, await seen(page, picture), 0);
    }
  });

  await t.test('a renewal brings a new token and leaves the picture alone', async () => {
    const before = await look(page);
    const samples = [before];
    await page.click('#renew');
    const isNew = ({ busy, security }) => !busy && security.token !== before.security.token;
    const now = await comesTo(page, 'it has a new token', isNew, samples);
    assertSameSocket(before, now, 1);
    assert.ok(now.log.some(({ kind, text }) => kind === 'got' && text.includes('equalsource')));
    assertSameSocket(now, await seen(page, HIGH, samples), 0);
    assertMoved(samples);
  });

  await t.test('Pause is silent, and Play goes on in the same socket', async () => {
    await page.click('#toggle');
    let quiet = null; // when the last byte came
    const paused = await comesTo(page, 'nothing comes any more', (now) => {
      if (now.state !== 'paused' || now.bytes !== quiet?.bytes) quiet = now;
      return now.at - quiet.at >= SILENT_MS;
    });
    await page.click('#toggle');
    assertSameSocket(paused, await seen(page, HIGH), 0);
  });

  await t.test('the mint form shows the error of the API at its field', async (t) => {
    const wrong = [
      ['ip', '#mint-ip', 'nonsense'],
      ['referer', '#mint-referer', 'https://example.com/page'],
      ['expires', '#mint-expires-custom', 'tomorrow'],
      ['expires', '#mint-expires-custom', '1'],
    ];
    for (const [field, input, text] of wrong) {
      await t.test(`${field}: ${text}`, async (t) => {
        t.after(() => page.type(input, ''));
        await page.choose('#mint-expires', field === 'expires' ? 'custom' : '60');
        await page.type(input, text);
        const { errors, invalid, focused } = await submit(page);
        assert.deepEqual(Object.keys(errors), [`mint-${field}-error`]);
        assert.ok(errors[`mint-${field}-error`].length >= 10, errors[`mint-${field}-error`]);
        assert.deepEqual(invalid, [input.slice(1)]);
        assert.equal(focused, input.slice(1));
      });
    }
  });

  await t.test('the mint form mints what it says', async (t) => {
    await page.choose('#mint-expires', '60');
    const wanted = [
      ['for a stream, with a tag and an address', 'label[for=scope-stream]', { tag: 'customer 7', ip: '127.0.0.1' }, '11'],
      ['for the organisation', 'label[for=mint-orga]', { tag: '', ip: '' }, '17'],
    ];
    for (const [what, scope, fields, options] of wanted) {
      await t.test(what, async () => {
        await page.click(scope);
        for (const [field, text] of Object.entries(fields)) await page.type(`#mint-${field}`, text);
        const { security, stream } = await mint(page);
        assert.equal(security.options, options);
        assert.equal(security.tag, fields.tag);
        assert.ok(Math.abs(security.expires - Date.now() / 1000 - 60) < 5, security.expires);

        const { errors, invalid, snippet, answer } = await lookAtForm(page);
        assert.deepEqual([errors, invalid], [{}, []]);
        assert.deepEqual(JSON.parse(answer), { h5live: { security } });
        const { rtmp, server, security: pasted } = JSON.parse(snippet).source.entries[0].h5live;
        assert.deepEqual(pasted, security);
        assert.deepEqual(rtmp, { url: 'rtmp://localhost/play', streamname: stream });
        assert.equal(server.websocket, `${demo.url.replace('http', 'ws')}/h5live/authstream/stream.mp4`);
      });
    }
  });

  let lastReceipt;
  await t.test(`the picture moves for ${PAST_EXPIRY_S} s past the expiry, and only a reconnect is refused`, async (t) => {
    await page.click('label[for=scope-stream]');
    // Its time begins with the press on Mint: what was typed before, however slowly, takes nothing of it.
    await page.choose('#mint-expires', '10');
    const { security } = await mint(page);
    await page.click('#mint-play');
    await comesTo(page, 'it has this token', ({ security: used }) => used.token === security.token);
    const start = await seen(page, HIGH);
    assert.deepEqual(start.security, security);

    const samples = [];
    await comesTo(page, 'the token is expired', ({ secondsLeft }) => secondsLeft <= 0, samples);
    const isPast = ({ secondsLeft }) => secondsLeft <= -PAST_EXPIRY_S;
    const end = await comesTo(page, `${PAST_EXPIRY_S} s past the expiry`, isPast, samples);
    assertMoved(samples);
    const [played, passed] = [end.time - samples[0].time, (end.at - samples[0].at) / 1000];
    assert.ok(played > passed - STILL_MS / 1000, `${played} s of picture in ${passed} s`);
    assertSameSocket(start, end, 0);
    assertCountdown(samples, security.expires);
    assert.ok(end.log.some(({ kind, text }) => kind === 'page' && text.includes('expired')), 'the expiry is an event');

    await t.test('a switch with the expired token is denied in the socket', async () => {
      await page.click('#fresh');
      const before = await look(page);
      await page.click('#cameras [data-value="Camera 2"]');
      const denied = await comesTo(page, 'it is denied', ({ status }) => status.includes('4903'));
      assertSameSocket(before, denied, 1);
      assertSameSocket(denied, await seen(page, HIGH), 0);
      await page.click('#fresh');
    });

    await t.test('Reconnect shows 4903', async () => {
      await page.click('#reconnect');
      const { ended, curtain, token, security: used } = await comesTo(page, 'the refusal is shown', ({ state }) => state === 'ended');
      assert.deepEqual(used, security);
      assert.equal(ended.code, 4903);
      assert.match(ended.receipt, RECEIPT);
      assert.ok(curtain.includes('4903') && curtain.includes(ended.receipt) && curtain.includes(ended.meaning), curtain);
      assert.equal(token, 'ended');
      lastReceipt = ended.receipt;
    });

    await t.test('a fresh token plays again', async () => {
      await page.click('#start-again');
      const { curtain, security: fresh } = await seen(page, HIGH);
      assert.equal(curtain, null);
      assert.notEqual(fresh.token, security.token);
    });
  });

  await t.test('every refusal shows the code that came, and the playback beside it goes on', async (t) => {
    const before = await look(page);
    assert.deepEqual(before.tiles.map(({ id }) => id), Object.keys(REFUSALS));
    assert.ok(before.tiles.every(({ outcome, code }) => outcome === 'none' && !code));

    await t.test('one by one', async () => {
      await page.click('#try-expired');
      const { tiles: [tile, ...others] } = await comesTo(page, 'it was tried', ({ tiles }) => isTried(tiles[0]));
      assert.deepEqual([tile.outcome, tile.code], ['refused', '4903']);
      assert.ok(others.every(({ outcome }) => outcome === 'none'));
    });

    await t.test('all at once', async () => {
      await page.click('#refusals-all');
      const { tiles, results } = await comesTo(page, 'all were tried', ({ tiles, triedAll }) => triedAll && tiles.every(isTried));
      const receipts = new Set([lastReceipt]);
      for (const { id, outcome, code, text } of tiles) {
        const { receipt, reason, inBand, after, says } = results[id];
        assert.deepEqual([id, outcome, code], [id, 'refused', String(REFUSALS[id])]);
        assert.ok(text.includes(code) && text.includes(says.meaning), text);
        if (inBand) {
          assert.equal(id, 'in-band');
          assert.ok(after >= 3, 'the old stream did not go on');
          continue;
        }
        assert.equal(reason, `code ${code} ${receipt}`);
        assert.match(receipt, RECEIPT);
        assert.ok(text.includes(receipt), text);
        assert.ok(!receipts.has(receipt), `${receipt} twice`);
        receipts.add(receipt);
      }
      assert.equal(receipts.size, Object.keys(REFUSALS).length);
    });

    assertSameSocket(before, await seen(page, HIGH), 0);
  });

  await t.test('HLS plays past its token where the browser can, and the page says so where not', async () => {
    const seen = () => page.evaluate(() => ({
      native: document.createElement('video').canPlayType('application/vnd.apple.mpegurl') !== '',
      enabled: document.querySelector('#hls-start').getAttribute('aria-disabled') !== 'true',
      status: document.querySelector('#hls-status').textContent,
      token: document.querySelector('#hls-token').textContent,
      session: document.querySelector('#hls-session').textContent,
      time: document.querySelector('#hls-video').currentTime,
    }));
    const { native, status, enabled } = await seen();
    assert.equal(native, PLAYS_HLS[name], 'another browser than these tests know');
    assert.equal(enabled, native);
    if (!native) {
      assert.match(status, /plays no HLS by itself.*ffplay.*hls\.js/);
      return;
    }
    assert.equal(status, '');
    await page.click('#hls-start');
    const begun = await until('HLS plays', async () => {
      const now = await seen();
      return now.time > 0 && now;
    });
    assert.match(begun.session, /^[0-9A-HJKMNP-TV-Z]{16}$/);
    const expired = await until('the expiry', async () => {
      const now = await seen();
      return /^expired/.test(now.token) && now;
    });
    await until('it plays on', async () => (await seen()).time > expired.time + 10);
    await page.evaluate(() => document.querySelector('#hls-video').pause());
  });

  await t.test('no token is in the log, and the browser has nothing to complain about', async () => {
    const { log, security } = await look(page);
    const { minted } = await lookAtForm(page);
    for (const { token } of [security, minted.security]) {
      assert.ok(!log.some(({ text }) => text.includes(token)), 'a whole token is in the log');
    }
    // An API that refuses is what the form was asked to show; Chromium calls it an error.
    assert.deepEqual(page.problems.filter((problem) => !problem.includes('/secure/token')), []);
  });

  await t.test('Ctrl-C ends it at once, and the page tries again', async () => {
    const { code, signal, ms } = await demo.interrupt();
    assert.deepEqual([code, signal], [0, null]);
    assert.ok(ms < AT_ONCE_MS, `after ${ms} ms`);
    const { ended, status } = await comesTo(page, 'it tries again', ({ state }) => state === 'retrying');
    assert.equal(ended.kind, 'retried');
    assert.ok(status.includes(String(ended.code)), status);
    assert.equal(demo.complaints, '');
  });
}

describe('the terminal', () => {
  test('its curl line mints a token that plays', async (t) => {
    const demo = await startDemo();
    t.after(() => demo.stop());
    const line = /^ .*?(curl (?:.*\\\n)*.*)$/m.exec(demo.introduction)?.[1];
    assert.ok(line, demo.introduction);
    const { stdout } = await promisify(execFile)('sh', ['-c', line]);
    const { security } = JSON.parse(stdout).h5live;
    assert.deepEqual(Object.keys(security).sort(), ['expires', 'options', 'tag', 'token']);

    const query = new URLSearchParams({ url: 'rtmp://localhost/play', stream: 'demo1-camera1', ...security });
    const socket = new WebSocket(`${demo.url.replace('http', 'ws')}/h5live/authstream?${query}`);
    t.after(() => socket.terminate());
    let media = 0;
    socket.on('message', (data, isBinary) => (media += isBinary ? data.length : 0));
    socket.on('close', (code) => (media ||= `closed with ${code}`));
    await once(socket, 'open');
    assert.equal(typeof await until('media comes', () => media), 'number', String(media));
  });

  test('its addresses answer', async (t) => {
    const demo = await startDemo();
    t.after(() => demo.stop());
    const [page, , playlist] = demo.introduction.match(/https?:\/\/[^\s']+/g);
    assert.equal(page, `${demo.url}/`);
    const response = await fetch(playlist);
    assert.equal(response.status, 200);
    assert.match(await response.text(), /^#EXTM3U/);
  });

  test('a busy port is an error with a suggestion, and no promise', async (t) => {
    const demo = await startDemo();
    t.after(() => demo.stop());
    const second = spawnDemo(`127.0.0.1:${demo.port}`);
    t.after(() => second.stop());
    const { code } = await until('it has ended', () => second.ended);
    assert.equal(code, 1);
    assert.equal(second.introduction, '');
    assert.ok(second.complaints.includes(`127.0.0.1:${demo.port}`), second.complaints);
    const suggested = /h5gate demo --listen 127\.0\.0\.1:(\d+)/.exec(second.complaints);
    assert.ok(suggested && suggested[1] !== String(demo.port), second.complaints);
    assert.equal((await fetch(demo.url)).status, 200);
  });

  test('Ctrl-C ends it at once, also without a viewer', async (t) => {
    const demo = await startDemo();
    t.after(() => demo.stop());
    const { code, signal, ms } = await demo.interrupt();
    assert.deepEqual([code, signal], [0, null]);
    assert.ok(ms < AT_ONCE_MS, `after ${ms} ms`);
    assert.equal(demo.complaints, '');
    // The address is free again at once.
    const again = spawnDemo(`127.0.0.1:${demo.port}`);
    t.after(() => again.stop());
    await until('it listens again', async () => again.ended || (await fetch(demo.url).catch(() => null))?.ok);
    assert.equal(again.ended, null, again.complaints);
  });
});

describe('on a phone', () => {
  test('the configuration is readable, in light and dark', async (t) => {
    const demo = await startDemo();
    t.after(() => demo.stop());
    const browser = await BROWSERS.chromium();
    t.after(() => browser.stop());
    for (const dark of [false, true]) {
      const page = await browser.open(demo.url, { width: 360, height: 740, phone: true, dark });
      await until('the page is ready', () => page.evaluate(() => Boolean(window.demo?.info)));
      await page.click('#configuration-copy');
      const { wide, small, contrast } = await until('it is shown', () => page.evaluate(() => {
        const text = document.getElementById('configuration-text');
        if (text.hidden) return null;
        const root = document.documentElement;
        const { fontSize, color, backgroundColor } = getComputedStyle(text);
        // WCAG 2.2: relative luminance, and the contrast of two.
        const light = (rgb) => {
          const [r, g, b] = rgb.match(/\d+/g).map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const [low, high] = [light(color), light(backgroundColor)].sort((a, b) => a - b);
        return {
          wide: root.scrollWidth > root.clientWidth || text.scrollWidth > text.clientWidth,
          small: parseFloat(fontSize) < 12,
          contrast: (high + 0.05) / (low + 0.05),
        };
      }));
      assert.deepEqual([wide, small], [false, false]);
      assert.ok(contrast >= 4.5, `a contrast of ${contrast}`);
      await page.close();
    }
  });

  test('the configuration is left selected where the page has no clipboard', async (t) => {
    const demo = await startDemo();
    t.after(() => demo.stop());
    const browser = await BROWSERS.chromium();
    t.after(() => browser.stop());
    const page = await browser.open(demo.url, { width: 360, height: 740, phone: true });
    await until('the page is ready', () => page.evaluate(() => Boolean(window.demo?.info)));
    await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
    await page.click('#configuration-copy');
    const selected = await until('it says so', () => page.evaluate(() => {
      const said = document.getElementById('configuration-status').textContent;
      return said.includes('Selected.') && getSelection().toString();
    }));
    assert.deepEqual(JSON.parse(selected), JSON.parse(await page.evaluate(() => document.getElementById('configuration-text').textContent)));
  });
});

// --- a player with a configuration ---

/** Plays what a configuration says, as protocol.md 2 has players build their URLs: over a WebSocket in both spellings, and over HTTP. */
async function assertPlays(t, { source, playback }, { stream, size }) {
  assert.equal(playback.autoplay, true);
  const { server, rtmp, security } = source.entries[source.startIndex].h5live;
  assert.equal(rtmp.streamname, stream);
  const query = () => {
    // Unset values and those that are no text are left out; every URL has a cid of its own.
    const values = { url: rtmp.url, stream: rtmp.streamname, cid: randomBytes(4).toString('hex'), pid: '4711', flags: 'faststart', ...security };
    const set = Object.entries(values).filter(([, value]) => typeof value === 'string' && value !== '');
    return set.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&');
  };
  for (const slash of ['', '/']) {
    const socket = new WebSocket(`${server.websocket}${slash}?${query()}`);
    t.after(() => socket.terminate());
    const [boxes, texts] = [[], []];
    let closed = null;
    socket.on('message', (data, isBinary) => {
      if (isBinary) boxes.push(data.subarray(4, 8).toString());
      else texts.push(JSON.parse(data));
    });
    socket.on('close', (code, reason) => (closed = `${code} ${reason}`));
    await until('pictures come', () => {
      assert.equal(closed, null);
      return boxes.length > 2;
    });
    assert.deepEqual([...new Set(boxes)], ['ftyp', 'moof']);
    const { onStreamInfo: { stream: name, videoInfo } } = texts.find(({ eventType }) => eventType === 'onStreamInfo');
    assert.deepEqual([name, `${videoInfo.width}x${videoInfo.height}`], [stream, size]);
    socket.terminate();
  }
  const playlist = await fetch(`${server.hls}?${query()}`);
  assert.match(await playlist.text(), /^#EXTM3U/);
  const endless = new AbortController();
  const file = await fetch(`${server.progressive}?${query()}`, { signal: endless.signal });
  const { value } = await file.body.getReader().read();
  endless.abort();
  assert.equal(Buffer.from(value.subarray(4, 8)).toString(), 'ftyp');
}

// --- what is seen of the page ---

function look(page) {
  return page.evaluate(() => {
    const element = (id) => document.getElementById(id);
    const text = (id) => element(id).textContent;
    const isEnabled = (id) => element(id).getAttribute('aria-disabled') !== 'true';
    const { player, video, log, results } = window.demo ?? {};
    if (!player) return { ready: false };
    return {
      ready: document.querySelectorAll('#tiles > li').length > 0,
      ...player,
      log,
      results,
      gate: text('media-origin'),
      noticed: !element('notice').hidden,
      enabled: Object.fromEntries(['renew', 'reconnect'].map((id) => [id, isEnabled(id)])),
      at: performance.now(),
      time: video.currentTime,
      frames: video.getVideoPlaybackQuality().totalVideoFrames,
      size: `${video.videoWidth}x${video.videoHeight}`,
      status: text('status'),
      token: element('token').dataset.token,
      countdown: text('countdown-main'),
      curtain: element('curtain').hidden ? null : text('curtain'),
      triedAll: isEnabled('refusals-all'),
      tiles: [...element('tiles').children].map(({ id, dataset, textContent }) => (
        { id: id.replace('refusal-', ''), outcome: dataset.outcome, code: dataset.code, text: textContent })),
    };
  });
}

function lookAtForm(page) {
  return page.evaluate(() => {
    const all = (selector) => [...document.querySelectorAll(`#mint-form ${selector}`)];
    return {
      errors: Object.fromEntries(all('.error').filter(({ textContent }) => textContent).map(({ id, textContent }) => [id, textContent])),
      invalid: all('[aria-invalid="true"]').map(({ id }) => id),
      focused: document.activeElement?.id,
      minted: window.demo.minted,
      answers: window.demo.log.filter(({ kind }) => kind === 'api').length,
      isReady: document.getElementById('mint-submit').getAttribute('aria-disabled') === 'false',
      snippet: document.getElementById('snippet').textContent,
      answer: document.getElementById('answer-json').textContent,
    };
  });
}

/** Presses the form's button; what the form shows of the API's answer. */
async function submit(page) {
  const before = await lookAtForm(page);
  await page.click('#mint-submit');
  return until('the answer is shown', async () => {
    const now = await lookAtForm(page);
    return now.answers > before.answers && now.isReady && now;
  });
}

/** Mints with the form as it is filled. */
async function mint(page) {
  const before = await lookAtForm(page);
  const { minted, errors } = await submit(page);
  assert.deepEqual(errors, {});
  assert.notEqual(minted.security.token, before.minted?.security.token);
  return minted;
}

/** Waits for a look at the page that `accept` likes, and returns it; `samples` gets every look on the way. */
async function comesTo(page, what, accept, samples = []) {
  let now;
  try {
    return await until(`the page: ${what}`, async () => {
      now = await look(page);
      samples.push(now);
      return accept(now) && now;
    });
  } catch (error) {
    const events = now?.log?.slice(0, 5).map(({ kind, text }) => `${kind} ${text}`) ?? [];
    throw new Error([error.message, `it says: ${now?.status}`, ...events, ...page.problems].join('\n'));
  }
}

/** Waits until this stream is seen and moves. */
async function seen(page, { stream, size }, samples) {
  let first = null;
  return comesTo(page, `${stream} is seen and moves`, (now) => {
    if (now.stream !== stream || now.size !== size || !now.moving || now.busy) return false;
    first ??= now;
    return now.time > first.time + 0.5 && now.frames > first.frames;
  }, samples);
}

function isTried({ outcome }) {
  return outcome !== 'none' && outcome !== 'trying';
}

/** The picture never stood still, through all that happened meanwhile. */
function assertMoved(samples) {
  assert.ok(samples.length > 2);
  let moved = samples[0];
  for (const now of samples) {
    assert.equal(now.state, 'playing', now.status);
    if (now.time > moved.time && now.frames > moved.frames) moved = now;
    assert.ok(now.at - moved.at < STILL_MS, `the picture stood still at ${moved.time} s`);
  }
}

/** The countdown goes down to the expiry and up after it, in whole seconds. */
function assertCountdown(samples, expires) {
  let last = Infinity;
  let turned = false;
  for (const { token, countdown, secondsLeft } of samples) {
    const seconds = Number(/\d+/.exec(countdown)[0]);
    // The text is written four times a second.
    assert.ok(Math.abs(seconds - Math.abs(secondsLeft)) <= 1.5, `${countdown} at ${secondsLeft} s`);
    if (token === 'expired') {
      assert.match(countdown, /expired/i);
      assert.ok(!turned || seconds >= last, `${countdown} after ${last}`);
      turned = true;
    } else {
      assert.equal(token, 'valid');
      assert.ok(!turned && seconds <= last, `${countdown} after ${last}`);
    }
    last = seconds;
  }
  assert.equal(samples[0].token, 'valid', 'seen before the expiry');
  assert.ok(last >= PAST_EXPIRY_S - 2, `${last} s after ${expires}`);
}

/** No other socket was opened in between, nothing was lost, and so many switches and renewals were asked for. */
function assertSameSocket(before, now, asked) {
  assert.equal(now.ended, null, now.status);
  assert.equal(now.switches, before.switches + asked);
  assert.ok(now.bytes >= before.bytes, 'a new socket');
}
