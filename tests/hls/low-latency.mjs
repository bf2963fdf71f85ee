// A media server of low-latency HLS (draft-pantos-hls-rfc8216bis, section 6.2): segments in parts, each offered as soon
// as ffmpeg has written it, and answers that are held back until there is news.
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import { LiveStream } from '../browser/origin.mjs';
import { until } from '../browser/until.mjs';

/** One stream in both shapes that begin a playback: a media playlist, and a choice of one. */
export const LOW_LATENCY = { media: 'abcde-ll', choice: 'abcde-ll-choice' };

const LOOK = { source: 'testsrc2', width: 320, height: 180, corner: 'yellow', tone: 550 };
const PARTS = 5; // of a segment, a third of a second each: what `LiveStream` makes
const PART_S = 1 / 3;
const TARGET_S = 2;
const WINDOW = 7; // segments in a playlist, about twelve seconds
const IN_PARTS = 4; // so many of them can be loaded in parts
const SEGMENTS_AT_START = 4; // as many as a player wants to see before it begins
const HELD_AT_MOST_MS = 3 * TARGET_S * 1000;
const PLAYLIST = 'application/vnd.apple.mpegurl';

/**
 * Starts it; `{ port, requests, stop }`. `requests` grows with each answer: `{ path, msn, part, from, held, status }`, where
 * `msn` and `part` are what a playlist's reload waits for, `from` is when it was asked for (in ms since the epoch) and
 * `held` says that there was something to wait for.
 */
export async function startLowLatencyOrigin() {
  const live = new LiveStream('low latency', LOOK);
  const timeline = new Timeline();
  const requests = [];
  const server = createServer(async ({ url }, response) => {
    const { pathname: path, searchParams } = new URL(url, 'http://origin');
    const [msn, part] = ['_HLS_msn', '_HLS_part'].map((key) => numberOf(searchParams.get(key) ?? undefined));
    const from = Date.now();
    const { status, type = 'text/plain', body, held = false } = await answer({ path, msn, part }, live, timeline);
    requests.push({ path, msn, part, from, held, status });
    response.writeHead(status, { 'Content-Type': type });
    response.end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = async () => {
    server.close();
    server.closeAllConnections();
    await live.stop();
  };
  try {
    await live.started();
    live.subscribe((fragment, isKeyframe) => timeline.add(fragment, isKeyframe));
    await until('there is something to begin with', () => timeline.growing >= SEGMENTS_AT_START);
  } catch (error) {
    await stop(); // the first error is the one that tells
    throw error;
  }
  return { port: server.address().port, requests, stop };
}

function answer({ path, msn, part }, live, timeline) {
  const [, stream, file] = /^\/hls\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
  if (!Object.values(LOW_LATENCY).includes(stream)) return { status: 404 };
  if (file === 'playlist.m3u8' && stream === LOW_LATENCY.choice) return { status: 200, type: PLAYLIST, body: choice(live) };
  if (file.endsWith('.m3u8')) return playlist(timeline, msn, part);
  if (file === 'init.mp4') return { status: 200, type: 'video/mp4', body: live.init };
  return media(timeline, file);
}

function choice({ mime, look }) {
  const [, codecs] = /codecs="([^"]+)"/.exec(mime);
  const line = `#EXT-X-STREAM-INF:BANDWIDTH=600000,CODECS="${codecs}",RESOLUTION=${look.width}x${look.height}`;
  return ['#EXTM3U', line, 'media.m3u8', ''].join('\n');
}

async function playlist(timeline, msn, part) {
  if (msn === undefined ? part !== undefined : msn > timeline.growing + 2) return { status: 400 };
  const held = msn !== undefined && !timeline.has(msn, part);
  if (held && !(await timeline.reach(msn, part))) return { status: 503 };
  return { status: 200, type: PLAYLIST, body: timeline.playlist(), held };
}

/** `N.m4s` or `N.M.m4s`. A part that a playlist hints at is held back until it is there. */
async function media(timeline, file) {
  const [msn, part] = (/^(\d+)(?:\.(\d+))?\.m4s$/.exec(file) ?? []).slice(1).map(numberOf);
  const held = part !== undefined && file === timeline.hint();
  if (held) await timeline.reach(msn, part);
  const whole = () => (msn < timeline.growing ? Buffer.concat(timeline.parts(msn)) : null);
  const body = part === undefined ? whole() : timeline.parts(msn)[part];
  return body?.length ? { status: 200, type: 'video/mp4', body, held } : { status: 404, held };
}

/** What was filmed: segments, which are lists of parts. The last of them is growing. */
class Timeline {
  #segments = [];
  #first = 0; // the media sequence number of the first that is kept
  #news = new EventEmitter().setMaxListeners(0);

  /** The number of the segment that is growing. */
  get growing() {
    return this.#first + this.#segments.length - 1;
  }

  parts(msn) {
    return this.#segments[msn - this.#first] ?? [];
  }

  add(fragment, isKeyframe) {
    if (isKeyframe) this.#segments.push([]);
    this.#segments.at(-1).push(fragment);
    // As many again are kept behind a playlist, for those who have read it a while ago.
    if (this.#segments.length > 2 * WINDOW) {
      this.#segments.shift();
      this.#first += 1;
    }
    this.#news.emit('part');
  }

  /** Whether this part, or the whole segment, is there. A part behind a segment's last is the first of the next one. */
  has(msn, part) {
    return msn < this.growing || (msn === this.growing && part < this.parts(msn).length);
  }

  /** Waits until it is; false when that took longer than a player may be kept waiting. */
  async reach(msn, part) {
    const signal = AbortSignal.timeout(HELD_AT_MOST_MS);
    while (!this.has(msn, part)) {
      if (!(await once(this.#news, 'part', { signal }).catch(() => null))) return false;
    }
    return true;
  }

  /** The file of the part that comes next. */
  hint() {
    const there = this.parts(this.growing).length;
    return there < PARTS ? `${this.growing}.${there}.m4s` : `${this.growing + 1}.0.m4s`;
  }

  playlist() {
    const from = Math.max(this.#first, this.growing - WINDOW + 1);
    const numbers = Array.from({ length: this.growing - from + 1 }, (_, index) => from + index);
    return [
      '#EXTM3U',
      '#EXT-X-VERSION:9',
      `#EXT-X-TARGETDURATION:${TARGET_S}`,
      `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${4 * PART_S}`,
      `#EXT-X-PART-INF:PART-TARGET=${PART_S}`,
      `#EXT-X-MEDIA-SEQUENCE:${from}`,
      '#EXT-X-MAP:URI="init.mp4"',
      ...numbers.flatMap((msn) => this.#lines(msn)),
      `#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${this.hint()}"`,
      '',
    ].join('\n');
  }

  #lines(msn) {
    const parts = this.parts(msn);
    const inParts = parts.map((_, part) => {
      const independent = part === 0 ? ',INDEPENDENT=YES' : '';
      return `#EXT-X-PART:DURATION=${PART_S},URI="${msn}.${part}.m4s"${independent}`;
    });
    return [
      ...(msn > this.growing - IN_PARTS ? inParts : []),
      ...(msn < this.growing ? [`#EXTINF:${parts.length * PART_S},`, `${msn}.m4s`] : []),
    ];
  }
}

function numberOf(text) {
  return text === undefined ? undefined : Number(text);
}
