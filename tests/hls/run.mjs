// HLS through the gate with the players that people have, in front of media servers that people have.
//
//   (cd ../browser && npm install) && node --test run.mjs
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { startGate } from '../browser/gate.mjs';
import { until } from '../browser/until.mjs';
import { MEDIA, startBrowsers } from './browsers.mjs';
import { FINISHED, LIVE, NGINX_PREFIX, startFront, startNginxOrigin } from './origins.mjs';

const run = promisify(execFile);
const LIFETIME_S = 5; // of the tokens that playbacks outlive
const WATCHED_S = 20;
const STALL_MS = 3_000;
const PATIENCE_MS = 60_000;
const IDLE_S = 4; // of the gate whose viewers rest for longer

const BROWSER_PLAYERS = [
  ['hls.js in Chromium', 'chromium', 'hls.js'],
  ['Chromium itself', 'chromium', 'native'],
  ['hls.js in Firefox', 'firefox', 'hls.js'],
];

let origin, gate, restless, front, browsers;

before(async () => {
  const upstream = `http_path = "${NGINX_PREFIX}{stream}/"`;
  const client = '[client]\ntrusted_proxies = ["127.0.0.1"]\nheader = "none"';
  origin = await startNginxOrigin();
  gate = await startGate(origin.port, { upstream, tables: client });
  restless = await startGate(origin.port, { upstream, tables: `${client}\n[hls]\nsession_idle = "${IDLE_S}s"` });
  front = await startFront(gate.port);
  browsers = await startBrowsers();
});

after(async () => {
  for (const part of [browsers, front, restless, gate, origin]) await part?.stop();
});

const now = () => Math.floor(Date.now() / 1000);

/** An HLS URL with a token for `stream` that is good for `seconds`. */
async function entry(stream, { seconds = LIFETIME_S, at = gate, host = MEDIA, port, change = {} } = {}) {
  const expires = String(now() + seconds);
  const security = await at.mint({ streamname: stream, expires });
  const url = new URL(at.url(stream, security, change, { host, path: '/h5live/authhttp/playlist.m3u8' }).replace(/^ws/, 'http'));
  if (port) url.port = port;
  return url.href;
}

/** Opens the page and begins; `look()` tells what is seen. */
async function begin(browser, how, url) {
  const page = await browsers.open(browser);
  await page.evaluate(([url, how]) => window.player.start(url, how), [url, how]);
  const call = (name) => page.evaluate((name) => window.player[name](), name);
  return { call, look: () => call('look') };
}

/** Waits until the picture has moved by `seconds` from where it was. */
async function watch({ look }, seconds) {
  const from = await until('the picture moves', async () => {
    const seen = await look();
    if (seen.errors.some(({ fatal }) => fatal)) throw new Error(JSON.stringify(seen.errors));
    return seen.time > 0 && seen.frames > 0 && seen;
  }, PATIENCE_MS);
  return until(`${seconds} s of pictures`, async () => {
    const seen = await look();
    if (seen.errors.some(({ fatal }) => fatal)) throw new Error(JSON.stringify(seen.errors));
    return seen.time >= from.time + seconds && seen;
  }, PATIENCE_MS);
}

describe('a live playback outlives its token', { concurrency: 3 }, () => {
  for (const [name, browser, how] of BROWSER_PLAYERS) {
    for (const [kind, stream] of Object.entries(LIVE)) {
      test(`${name}, ${kind}`, async () => {
        const player = await begin(browser, how, await entry(stream));
        const seen = await watch(player, WATCHED_S);
        assert.ok(seen.longestGap < STALL_MS, `stood still for ${seen.longestGap} ms`);
        await player.call('pause');
      });
    }
  }

  for (const [kind, stream] of Object.entries(LIVE)) {
    test(`ffmpeg, ${kind}`, async () => {
      const url = await entry(stream, { host: '127.0.0.1' });
      const { stdout } = await run('ffmpeg', ['-v', 'error', '-i', url, '-t', String(WATCHED_S), '-map', '0:v:0', '-f', 'framemd5', '-']);
      const frames = stdout.split('\n').filter((line) => line.startsWith('0,')).length;
      assert.ok(frames > WATCHED_S * 12, `${frames} frames`);
    });
  }

  for (const kind of ['ts', 'rtmp']) {
    test(`GStreamer, ${kind}`, async () => {
      const url = await entry(LIVE[kind], { host: '127.0.0.1' });
      // Fifteen pictures a second, each shown at its time.
      const sink = ['fakesink', 'sync=true', `num-buffers=${WATCHED_S * 15}`];
      const begun = Date.now();
      await run('gst-launch-1.0', ['-q', 'uridecodebin3', `uri=${url}`, 'caps=video/x-raw', '!', ...sink], { timeout: PATIENCE_MS });
      assert.ok(Date.now() - begun > LIFETIME_S * 1000, 'it outlived the token');
    });
  }
});

describe('what was filmed is what is seen', { concurrency: true }, () => {
  for (const [kind, stream] of Object.entries(FINISHED)) {
    test(`ffmpeg, ${kind}`, async () => {
      const hashes = async (url) => (await run('ffmpeg', ['-v', 'error', '-i', url, '-map', '0', '-f', 'framemd5', '-'], { maxBuffer: 1 << 26 })).stdout;
      const direct = await hashes(origin.url(stream));
      assert.ok(direct.split('\n').length > 90);
      assert.equal(await hashes(await entry(stream, { host: '127.0.0.1' })), direct);
    });
  }
});

describe('a bad token plays nothing', () => {
  const bad = { expired: [-1, 4903], tampered: [60, 4901], 'for another stream': [60, 4901] };
  for (const [what, [seconds, code]] of Object.entries(bad)) {
    test(what, async () => {
      const good = await entry(LIVE.ts, { seconds: Math.max(seconds, 1) });
      const url = {
        expired: () => until('the expiry', () => now() > Number(new URL(good).searchParams.get('expires')) && good),
        tampered: () => good.replace(/(token=h1\.[^.]*\.)./, (_, before) => `${before}!`.replace('!', 'Z')),
        'for another stream': () => good.replace(`stream=${LIVE.ts}`, `stream=${LIVE.fmp4}`),
      }[what];
      const href = await url();
      for (const browser of ['chromium', 'firefox']) {
        const { look } = await begin(browser, 'hls.js', href);
        const [error] = await until('a fatal error', async () => {
          const fatal = (await look()).errors.filter(({ fatal }) => fatal);
          return fatal.length > 0 && fatal;
        }, PATIENCE_MS);
        assert.equal(error.status, 403, JSON.stringify(error));
        assert.equal(JSON.parse(error.body).code, code);
      }
      const native = await begin('chromium', 'native', href);
      await until('an error', async () => (await native.look()).errors.length > 0, PATIENCE_MS);
      await assert.rejects(run('ffmpeg', ['-v', 'error', '-i', href.replace(MEDIA, '127.0.0.1'), '-t', '1', '-f', 'null', '-']), /403/);
    });
  }
});

describe('a viewer rests', () => {
  const ended = () => restless.log.filter((line) => line.includes('"playback ended"')).length;
  const quiet = () => {
    const before = ended();
    return until('it is quiet', () => ended() > before, PATIENCE_MS);
  };

  test('for less than the idle time, and goes on past the expiry', async () => {
    const player = await begin('chromium', 'hls.js', await entry(LIVE.ts));
    await watch(player, 3);
    await player.call('sleep');
    await new Promise((resolve) => setTimeout(resolve, 8_000));
    await player.call('resume');
    await watch(player, 5);
  });

  test('for longer, and comes back with a token that is good', async () => {
    const player = await begin('chromium', 'hls.js', await entry(LIVE.ts, { seconds: 600, at: restless }));
    await watch(player, 3);
    await player.call('sleep');
    await quiet();
    await player.call('resume');
    await watch(player, 5);
  });

  test('for longer, and its token has expired', async () => {
    const player = await begin('chromium', 'hls.js', await entry(LIVE.fmp4, { at: restless }));
    await watch(player, 3);
    await player.call('sleep');
    await quiet();
    await player.call('resume');
    const error = await until('the refusal', async () => (await player.look()).errors.find(({ status }) => status === 403), PATIENCE_MS);
    assert.equal(JSON.parse(error.body).code, 4903);
  });
});

test('behind another proxy', async () => {
  const player = await begin('chromium', 'hls.js', await entry(LIVE.fmp4, { port: front.port }));
  await watch(player, LIFETIME_S + 5);
});
