// The players that people have: each plays a URL and tells what came of it.
import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { until } from '../browser/until.mjs';

const run = promisify(execFile);

/** How long anything may take that is not measured. */
export const PATIENCE_MS = 60_000;

/** `[name, browser, how]` of each player in a page. */
export const IN_PAGES = [
  ['hls.js in Chromium', 'chromium', 'hls.js'],
  ['Chromium itself', 'chromium', 'native'],
  ['hls.js in Firefox', 'firefox', 'hls.js'],
];

/** Of each URL that a browser's own player was watched with, how often it had to begin once more. */
export const nativeStarts = new Map();

/** Opens a page with a player for the time of the test `t`; what it returns is for `watch` and its like. */
export async function open(t, browsers, browser, how) {
  const page = await browsers.open(browser);
  t.after(() => page.close());
  const call = (name, ...rest) => page.evaluate(([name, rest]) => window.player[name](...rest), [name, rest]);
  const player = { call, how, url: null, look: () => call('look') };
  player.play = (url) => call('start', (player.url = url), how);
  return player;
}

/** Waits until the picture has moved by `seconds` from where it is, and returns what is seen then; of media without an end. */
export async function watch(player, seconds) {
  const before = await healthy(player);
  const from = await until('the picture moves', async () => {
    const seen = await healthy(player);
    return seen.time > 0 && seen.frames > before.frames && seen;
  }, PATIENCE_MS);
  return until(`${seconds} s of pictures`, async () => {
    const seen = await healthy(player);
    return seen.time >= from.time + seconds && seen.frames > from.frames && seen;
  }, PATIENCE_MS);
}

/**
 * Waits until media that ends has ended, and returns what is seen then. How much was played is the page's own word: of
 * media of a few seconds a part may be over before the first look at it.
 */
export async function watchToTheEnd(player) {
  let seen;
  try {
    return await until('the end', async () => {
      seen = await healthy(player);
      return seen.ended && seen;
    }, PATIENCE_MS);
  } catch (error) {
    throw new Error(`${error.message}; seen last: ${JSON.stringify(seen)}`);
  }
}

/** What is seen; an error of the player's is one here. */
async function healthy({ look, how, url }) {
  const seen = await look();
  if (how === 'native') nativeStarts.set(url, seen.begunAgain);
  if (seen.errors.some(({ fatal }) => fatal)) throw new Error(JSON.stringify(seen.errors));
  return seen;
}

/** What ffmpeg shows of `seconds` of media, or of all of it: a line for each picture and each piece of sound. */
export function ffmpeg(url, seconds) {
  return watching('ffmpeg', ['-v', 'error', '-i', url, ...(seconds ? ['-t', String(seconds)] : []), '-map', '0', '-f', 'framemd5', '-']);
}

/**
 * GStreamer's two demuxers of HLS: what leads from a URL to each, and whether pictures are shown at their times. The older
 * one is told a speed, since another rendition is another pad, to which nothing here is linked; and its times of a stream
 * that has run for a while are wrong, with the media server itself as well.
 */
export const GSTREAMER = {
  hlsdemux: {
    source: (url) => ['souphttpsrc', `location=${url}`, '!', 'hlsdemux', 'connection-speed=100000', '!', 'decodebin'],
    sync: false,
  },
  hlsdemux2: { source: (url) => ['uridecodebin3', `uri=${url}`], sync: true }, // may not choose the older one, see below
};

/** GStreamer shows so many pictures; an error when it ends before. */
export async function gstreamer(url, demuxer, pictures) {
  const { source, sync } = GSTREAMER[demuxer];
  const sink = ['fakesink', 'name=pictures', 'silent=false', `sync=${sync}`];
  const time = /:pictures: last-message = chain .*, pts: ([\d:.]+)/;
  await shownBy(['-v', ...source(url), '!', 'video/x-raw', '!', ...sink], time, pictures);
}

/**
 * A line for each of so many pictures that GStreamer's older demuxer makes of media that ends. Its end is not waited for: with
 * the media server itself as well, one in a hundred never comes to it, all pictures shown.
 */
export async function gstreamerHashes(url, pictures) {
  const source = ['souphttpsrc', `location=${url}`, '!', 'hlsdemux'];
  const sink = ['decodebin', '!', 'videoconvert', '!', 'checksumsink', 'sync=false'];
  return (await shownBy([...source, '!', ...sink], /^(\d+:\d+:\d+\.\d+ [0-9a-f]{40})$/, pictures)).join('\n');
}

/** What the lines of so many pictures tell; one that is shown twice is one. */
async function shownBy(pipeline, told, pictures) {
  const child = spawn('gst-launch-1.0', pipeline, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, GST_PLUGIN_FEATURE_RANK: 'hlsdemux:NONE' },
    timeout: PATIENCE_MS,
  });
  const shown = new Set();
  const complaints = [];
  createInterface({ input: child.stderr }).on('line', (line) => complaints.push(line));
  const ended = new Promise((resolve) => {
    child.on('close', (code, signal) => resolve(code ?? signal)).on('error', ({ message }) => resolve(message));
  });
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const [, picture] = told.exec(line) ?? [];
      if (picture && shown.add(picture).size === pictures) return [...shown];
    }
  } finally {
    child.kill('SIGKILL'); // the older demuxer would go on without a sink
  }
  throw new Error([`it ended with ${await ended} after ${shown.size} of ${pictures} pictures`, ...complaints].join('\n'));
}

async function watching(program, args) {
  return (await run(program, args, { timeout: PATIENCE_MS, maxBuffer: 1 << 26 })).stdout;
}
