// The players that people have: each plays a URL and tells what came of it.
import { execFile } from 'node:child_process';
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

/** Opens a page with a player for the time of the test `t`; what it returns is for `watch` and its like. */
export async function open(t, browsers, browser, how) {
  const page = await browsers.open(browser);
  t.after(() => page.close());
  const call = (name, ...rest) => page.evaluate(([name, rest]) => window.player[name](...rest), [name, rest]);
  return { call, play: (url) => call('start', url, how), look: () => call('look') };
}

/** Waits until the picture has moved by `seconds` from where it is, and returns what is seen then. */
export async function watch({ look }, seconds) {
  const healthy = async () => {
    const seen = await look();
    if (seen.errors.some(({ fatal }) => fatal)) throw new Error(JSON.stringify(seen.errors));
    return seen;
  };
  const before = await healthy();
  const from = await until('the picture moves', async () => {
    const seen = await healthy();
    return seen.time > 0 && seen.frames > before.frames && seen;
  }, PATIENCE_MS);
  return until(`${seconds} s of pictures`, async () => {
    const seen = await healthy();
    return seen.time >= from.time + seconds && seen.frames > from.frames && seen;
  }, PATIENCE_MS);
}

/** What ffmpeg shows of `seconds` of media, or of all of it: a line for each picture and each piece of sound. */
export function ffmpeg(url, seconds) {
  return watching('ffmpeg', ['-v', 'error', '-i', url, ...(seconds ? ['-t', String(seconds)] : []), '-map', '0', '-f', 'framemd5', '-']);
}

/** GStreamer's newer demuxer shows so many pictures, each at its time. */
export function gstreamer(url, pictures) {
  const sink = ['fakesink', 'sync=true', `num-buffers=${pictures}`];
  return watching('gst-launch-1.0', ['-q', 'uridecodebin3', `uri=${url}`, '!', 'video/x-raw', '!', ...sink]);
}

/** A line for each picture that GStreamer's older demuxer makes of media that ends. */
export async function gstreamerHashes(url) {
  const source = ['souphttpsrc', `location=${url}`, '!', 'hlsdemux'];
  const said = await watching('gst-launch-1.0', [...source, '!', 'decodebin', '!', 'videoconvert', '!', 'checksumsink', 'sync=false']);
  return said.split('\n').filter((line) => /^\d+:\d+:\d+\.\d+ [0-9a-f]{40}$/.test(line)).join('\n');
}

async function watching(program, args) {
  return (await run(program, args, { timeout: PATIENCE_MS, maxBuffer: 1 << 26 })).stdout;
}
