// A media server as the gate sees one: H5Live over WebSocket with live pictures from ffmpeg.
//
// It remembers what it sent on each connection (a SHA-256 per binary message, every text as it stands) and what it
// was told, so that a test can compare both ends of the gate.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import Mp4Frag from 'mp4frag';
import { WebSocketServer } from 'ws';

const PATHS = new Set(['/h5live/stream', '/h5live/stream/stream.mp4']);

// Every stream has its own size and its own solid corner: one pixel tells which one plays.
export const STREAMS = {
  'abcde-one': { source: 'testsrc2', width: 320, height: 180, corner: 'red', tone: 440 },
  'abcde-two': { source: 'smptebars', width: 256, height: 144, corner: 'blue', tone: 660 },
  'fghij-one': { source: 'testsrc2', width: 192, height: 108, corner: 'lime', tone: 880 },
};

const FRAME_RATE = 15;
const SAMPLE_RATE = 48_000;

// The pictures of abcde-one again and again, in large messages, as fast as the socket takes them.
const BURST = { name: 'abcde-burst', pictures: 'abcde-one', repeats: 8 };

export async function startOrigin() {
  const live = new Map(Object.entries(STREAMS).map(([name, look]) => [name, new LiveStream(name, look)]));
  const connections = [];
  let attempts = 0;

  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const server = createServer((_, response) => response.writeHead(404).end());
  server.on('upgrade', (request, socket, head) => {
    attempts += 1;
    socket.on('error', () => socket.destroy());
    if (!PATHS.has(new URL(request.url, 'http://origin').pathname)) {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (ws) => connections.push(new Connection(ws, request, live)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    port: server.address().port,
    connections,
    /** How many upgrades were asked for, refused ones included. */
    get attempts() {
      return attempts;
    },
    async stop() {
      for (const ws of sockets.clients) ws.terminate();
      server.close();
      server.closeAllConnections();
      await Promise.all([...live.values()].map((stream) => stream.stop()));
    },
  };
}

/** One connection and its record. */
class Connection {
  messages = []; // what the client said, parsed
  sent = []; // SHA-256 of each binary message, in order
  texts = []; // each text message as sent
  closed = null;
  answers = true; // whether a switch is made and answered at once; otherwise it waits for `answerLast`

  #ws;
  #live;
  #unanswered = []; // switches
  #stream = null;
  #unsubscribe = () => {};
  #turn = 0; // counts sources, so that a slow start cannot overtake a later switch
  #paused;
  #metaOnly;

  constructor(ws, request, live) {
    this.#ws = ws;
    this.#live = live;
    this.url = request.url;
    this.headers = request.headers;
    this.query = new URL(request.url, 'http://origin').searchParams;
    const flags = (this.query.get('flags') ?? '').split(',');
    this.#paused = flags.includes('paused');
    this.#metaOnly = flags.includes('metastreamonly');

    ws.on('message', (data) => this.#onMessage(JSON.parse(data)));
    ws.on('error', () => {}); // a viewer that resets the connection is no fault of the test
    ws.on('close', (code, reason) => {
      this.#unsubscribe();
      this.closed = { code, reason: String(reason) };
    });

    const stream = this.query.get('stream');
    this.#text('onServerInfo', {
      applicationServerName: 'test media server',
      capabilities: ['onPlay', 'onPause', 'onUpdateSource', 'metastreamonly', 'faststart'],
      events: ['onStreamStatus', 'onStreamInfo', 'onRandomAccessPoint', 'onMetaData', 'onUpdateSourceSuccess', 'onUpdateSourceAbort'],
    });
    this.#text('onUpdateSourceSuccess', { tag: '', count: 0, requestId: 0 }); // the connect's own
    this.#text('onStreamStatus', { stream, status: this.#lookUp(stream) ? 'started' : 'stopped' });
    if (this.#lookUp(stream)) this.#play(stream);
  }

  #onMessage(message) {
    this.messages.push(message);
    const { eventType } = message;
    if (eventType === 'onPause') {
      this.#paused = true;
      this.#unsubscribe();
    } else if (eventType === 'onPlay') {
      this.#paused = false;
      if (this.#stream) this.#play(this.#stream);
    } else if (eventType === 'onUpdateSource') {
      if (this.answers) this.#switch(message);
      else this.#unanswered.push(message);
    }
  }

  /** Makes and answers the last of the switches that wait, and forgets those before it. */
  answerLast() {
    this.#switch(this.#unanswered.at(-1));
    this.#unanswered = [];
  }

  #switch({ onUpdateSource: { tag, count, rtmp }, requestId }) {
    if (rtmp.stream === this.#stream) {
      this.#text('onUpdateSourceAbort', { reason: 'equalsource', tag, count, requestId });
    } else if (!this.#lookUp(rtmp.stream)) {
      this.#text('onUpdateSourceAbort', { reason: 'notfound', tag, count, requestId });
    } else {
      this.#text('onUpdateSourceSuccess', { tag, count, requestId });
      this.#play(rtmp.stream);
    }
  }

  #lookUp(name) {
    return this.#live.get(name === BURST.name ? BURST.pictures : name);
  }

  async #play(name) {
    const turn = ++this.#turn;
    const stream = this.#lookUp(name);
    this.#stream = name;
    this.#unsubscribe();
    await stream.started();
    if (turn !== this.#turn || this.closed) return;

    const { look, mime, init } = stream;
    const videoInfo = { width: look.width, height: look.height, frameRate: FRAME_RATE };
    const audioInfo = { sampleRate: SAMPLE_RATE, channels: 1, bitsPerSample: 16 };
    this.#text('onStreamInfo', { stream: name, mimeType: mime, haveVideo: true, haveAudio: true, videoInfo, audioInfo });
    const silent = this.#paused || this.#metaOnly;
    if (!silent) this.#binary(init);
    if (!silent && name === BURST.name) {
      this.#burst(Buffer.concat(Array(BURST.repeats).fill(stream.recent).flat()));
      return;
    }
    this.#unsubscribe = stream.subscribe((fragment, isKeyframe) => {
      const streamTime = Date.now();
      if (isKeyframe) this.#text('onMetaData', { handlerName: 'onMetaData', message: { stream: name }, streamTime });
      if (silent) return;
      if (isKeyframe) this.#text('onRandomAccessPoint', { stream: name, streamTime });
      this.#binary(fragment);
    });
  }

  #burst(message) {
    const hash = sha256(message);
    const turn = this.#turn;
    const next = () => {
      if (this.closed || turn !== this.#turn) return;
      this.sent.push(hash);
      this.#ws.send(message, (error) => error ?? setImmediate(next));
    };
    next();
  }

  #text(eventType, body) {
    const text = JSON.stringify({ eventType, [eventType]: body });
    this.texts.push(text);
    this.#ws.send(text);
  }

  #binary(message) {
    this.sent.push(sha256(message));
    this.#ws.send(message);
  }
}

/** One ffmpeg, started by its first viewer and then shared by all. */
export class LiveStream {
  recent = []; // the fragments since the last keyframe: a new viewer starts with these

  #subscribers = new Set();
  #ffmpeg = null;
  #initialized = null;

  constructor(name, look) {
    this.name = name;
    this.look = look;
  }

  started() {
    this.#initialized ??= this.#start();
    return this.#initialized;
  }

  /** Calls `take(fragment, isKeyframe)` for every fragment from the last keyframe on. */
  subscribe(take) {
    this.recent.forEach((fragment, index) => take(fragment, index === 0));
    this.#subscribers.add(take);
    return () => this.#subscribers.delete(take);
  }

  async stop() {
    if (!this.#ffmpeg || this.#ffmpeg.exitCode !== null) return;
    this.#ffmpeg.kill('SIGKILL');
    await once(this.#ffmpeg, 'exit');
  }

  async #start() {
    const { source, width, height, corner, tone } = this.look;
    const picture = `${source}=size=${width}x${height}:rate=${FRAME_RATE},drawbox=w=iw/3:h=ih/3:color=${corner}:t=fill`;
    // Five fragments to a group of pictures: most messages are then no keyframes, as with a low-latency server.
    const args = [
      '-hide_banner', '-loglevel', 'error', '-nostdin',
      '-re', '-f', 'lavfi', '-i', picture,
      '-re', '-f', 'lavfi', '-i', `sine=frequency=${tone}:sample_rate=${SAMPLE_RATE}`,
      '-c:v', 'libx264', '-profile:v', 'baseline', '-preset', 'ultrafast', '-tune', 'zerolatency',
      '-pix_fmt', 'yuv420p', '-g', '25', '-threads', '1', '-c:a', 'aac', '-b:a', '64k',
      '-f', 'mp4', '-movflags', '+frag_keyframe+empty_moov+default_base_moof', '-frag_duration', '333333', 'pipe:1',
    ];
    this.#ffmpeg = spawn('ffmpeg', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const fragments = this.#ffmpeg.stdout.pipe(new Mp4Frag());
    fragments.on('initialized', ({ mime, initialization }) => {
      this.mime = mime;
      this.init = initialization;
    });
    fragments.on('segment', ({ segment }) => {
      const isKeyframe = startsWithKeyframe(segment);
      if (isKeyframe) this.recent = [];
      this.recent.push(segment);
      for (const take of this.#subscribers) take(segment, isKeyframe);
    });
    await once(fragments, 'segment');
  }
}

/**
 * Whether the first picture of a moof+mdat is an IDR picture. mp4frag's own flag also reads the sound behind the
 * pictures as if it were pictures, and so takes one fragment in thirty for a keyframe that is none.
 */
function startsWithKeyframe(fragment) {
  let at = fragment.indexOf('mdat') + 4;
  while (at + 4 < fragment.length) {
    const unit = fragment[at + 4] & 0x1f;
    if (unit === 1 || unit === 5) return unit === 5;
    at += 4 + fragment.readUInt32BE(at);
  }
  return false;
}

export function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}
