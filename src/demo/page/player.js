// An H5Live player on Media Source Extensions. As the published players do, it reads close codes, retries what is worth
// a retry, switches inside the socket, and keeps a renewed token for reconnects.

const HANDSHAKE_MS = 5_000; // the patience of a real player
const SWITCH_MS = 10_000;
const ATTEMPT_MS = 8_000;
const MAX_RETRIES = 10;
const SETTLED_MS = 200; // a socket that stood this long was a good one: retries count from zero again

const CODES = {
  1000: ['Closed', 'final'],
  1001: ['Going away', 'final'],
  4200: ['Check passed', 'silent'],
  4400: ['Bad request: stream parameters are missing or malformed', 'final'],
  4403: ['Access denied, or the stream was stopped: it depends on the player', 'final'],
  4500: ['Internal error', 'retried'],
  4503: ['Service unavailable', 'retried'],
  4900: ['The security service failed', 'final'],
  4901: ['Denied: the token is not valid here', 'final'],
  4903: ['Expired, or token, options or expires are missing', 'final'],
  4904: ['The security service was not found', 'final'],
};
const LOST = [1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1015];

const REACTIONS = {
  final: 'Final. It stops and shows the error.',
  retried: 'Tries again after 2 to 10 s, up to 10 times.',
  silent: 'None. There is nothing to show.',
};

/** What a code means and what a player does about it: `{ code, meaning, kind, reaction }`. */
export function verdict(code) {
  const lost = [`Connection failed or was lost. Players show ${code === 1006 ? '4106' : 'a 41xx error'}`, 'retried'];
  const [meaning, kind] = CODES[code] ?? (LOST.includes(code) ? lost : ['Not a code of this protocol', 'final']);
  return { code, meaning, kind, reaction: REACTIONS[kind] };
}

/** A denied switch is no end: the socket stays. */
export function inBandVerdict(code) {
  return { ...verdict(code), reaction: 'The switch fails. The old stream keeps playing.' };
}

/** The receipt in a close reason of the form `code NNNN RECEIPT`; '' when there is none. */
export function receiptIn(reason) {
  return /^code \d{4} (\S+)$/.exec(reason)?.[1] ?? '';
}

// --- one attempt, for its verdict only ---

/**
 * Opens a socket and tells how it ended: `{ outcome, code, reason, ms }`. The outcome is `refused`, `granted` (something
 * came from the media server) or `silent` (no verdict in time).
 */
export function attempt(media, query) {
  return probe(media, query, (end) => () => end({ outcome: 'granted' }));
}

/**
 * Starts a good playback, sends `message` in its socket and tells what became of it: as `attempt`, with `inBand` when
 * the code came in an onUpdateSourceError, and `after`, how many media messages came later all the same.
 */
export function attemptSwitch(media, query, message) {
  let sent = false;
  let denied = null;
  return probe(media, query, (end, socket) => ({ data }) => {
    if (typeof data === 'string') {
      const { eventType, body, requestId } = parse(data);
      // The connect is a success of its own, with the number 0.
      const answers = (requestId ?? body.requestId) === message.requestId;
      if (answers && /^onUpdateSource(Success|Abort)$/.test(eventType)) end({ outcome: 'granted' });
      if (eventType !== 'onUpdateSourceError') return;
      denied = { outcome: 'refused', inBand: true, code: body.code, body, after: 0 };
      setTimeout(() => end(denied), 3_000);
    } else {
      // The first picture proves that this playback is a good one. Only then is the switch asked for.
      if (!sent) socket.send(JSON.stringify(message));
      sent = true;
      // Three more messages after the refusal: the old stream really goes on.
      if (denied && ++denied.after === 3) end(denied);
    }
  });
}

function probe(media, query, listen) {
  return new Promise((resolve) => {
    const from = performance.now();
    const socket = new WebSocket(`${socketUrl(media)}?${query}`);
    socket.binaryType = 'arraybuffer';
    const timer = setTimeout(() => end({ outcome: 'silent' }), ATTEMPT_MS);
    const end = (result) => {
      clearTimeout(timer);
      resolve({ ms: Math.round(performance.now() - from), ...result });
      socket.close(1000);
    };
    socket.onmessage = listen(end, socket);
    socket.onclose = ({ code, reason }) => end({ outcome: 'refused', code, reason });
  });
}

// --- the player ---

/**
 * Plays one stream at a time in `video`. `report(event, detail)` hears what happens: `state`, `sent`, `text`, `closed`,
 * `retry`, `failed`.
 */
export class LivePlayer {
  state = 'idle'; // or connecting, playing, paused, retrying, ended
  source = null; // what plays, and what a reconnect starts with: { stream, security, … }
  ended = null; // the verdict of the last close, while no socket is open
  bytes = 0; // of media, in this socket
  switches = 0; // asked for, in this socket
  openedAt = null;

  #video;
  #at; // { media, rtmp }: the gate, and the source behind it
  #report;
  #pid = randomId(); // one player, one pid
  #socket = null;
  #pictures = null;
  #asked = null; // the switch under way
  #requests = 0;
  #retries = 0;
  #retryTimer;

  constructor(video, at, report) {
    this.#video = video;
    this.#at = at;
    this.#report = report;
  }

  /** Plays from a new socket. */
  start(source) {
    this.source = source;
    this.#retries = 0;
    this.#open();
  }

  /** The same token, the same pid, a new cid: what a player does after a loss. */
  reconnect() {
    this.start(this.source);
  }

  pause() {
    this.#video.pause();
    this.#send('onPause', {});
    this.#enter('paused');
  }

  resume() {
    this.#send('onPlay', {});
    this.#play();
    this.#enter('playing');
  }

  /**
   * Asks for another stream, or for the same one with a new token, inside the socket: one at a time. Resolves with
   * `{ outcome: 'switched' | 'renewed' | 'refused' | 'aborted' | 'silent' | 'closed', code?, reason? }`.
   */
  switchTo(source) {
    const count = ++this.switches;
    const rtmp = { url: this.#at.rtmp, stream: source.stream };
    const body = { options: { faststart: true }, tag: `switch-${count}`, count, rtmp, security: source.security };
    const requestId = this.#send('onUpdateSource', body);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#settle({ outcome: 'silent' }), SWITCH_MS);
      this.#asked = { requestId, source, resolve, timer };
      if (!this.#socket) this.#settle({ outcome: 'closed' });
    });
  }

  /** Seconds of picture that are here and not yet shown. */
  get ahead() {
    const { buffered, currentTime } = this.#video;
    return buffered.length ? Math.max(0, buffered.end(buffered.length - 1) - currentTime) : 0;
  }

  #open() {
    this.#drop();
    Object.assign(this, { bytes: 0, switches: 0, openedAt: null, ended: null });
    this.#enter('connecting');

    const { stream, security } = this.source;
    const query = { url: this.#at.rtmp, stream, cid: randomId(), pid: this.#pid, ...security };
    const socket = new WebSocket(`${socketUrl(this.#at.media)}?${queryString(query)}`);
    socket.binaryType = 'arraybuffer';
    const tooLate = setTimeout(() => socket.close(), HANDSHAKE_MS);
    const pictures = new Pictures(this.#video, (problem) => this.#report('failed', problem));

    socket.onopen = () => {
      clearTimeout(tooLate);
      this.openedAt = performance.now();
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string') return this.#onText(data, pictures);
      this.bytes += data.byteLength;
      pictures.push(new Uint8Array(data));
      if (this.state === 'connecting') {
        this.#enter('playing');
        this.#play();
      }
    };
    socket.onclose = ({ code, reason }) => this.#onClose(code, reason);
    this.#socket = socket;
    this.#pictures = pictures;
  }

  #play() {
    this.#video.play().catch(({ name }) => {
      // Any other name means that another load overtook this one, which is nothing.
      if (name === 'NotAllowedError') this.#report('failed', 'the browser wants a press on Play first');
    });
  }

  /** Lets go of the socket without a word to the page: another one follows. */
  #drop() {
    clearTimeout(this.#retryTimer);
    this.#pictures?.stop();
    if (this.#socket) {
      this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close(1000);
    }
    this.#socket = null;
    this.#settle({ outcome: 'closed' });
  }

  #onText(text, pictures) {
    const { eventType, body, requestId } = parse(text);
    this.#report('text', { eventType, body });
    const type = typeIn(body);
    if (type) pictures.announced = type;

    const id = requestId ?? body.requestId;
    if (id !== undefined && id !== this.#asked?.requestId) return; // an answer that came too late
    if (eventType === 'onUpdateSourceSuccess') this.#settle({ outcome: 'switched' });
    if (eventType === 'onUpdateSourceError') this.#settle({ outcome: 'refused', code: body.code });
    if (eventType === 'onUpdateSourceAbort') {
      const outcome = body.reason === 'equalsource' ? 'renewed' : 'aborted';
      this.#settle({ outcome, reason: body.reason });
    }
  }

  #settle(result) {
    if (!this.#asked) return;
    const { source, resolve, timer } = this.#asked;
    this.#asked = null;
    clearTimeout(timer);
    // The new token is good: from here on it is the one for a retry and a reconnect.
    if (result.outcome === 'switched' || result.outcome === 'renewed') this.source = source;
    resolve(result);
  }

  #onClose(code, reason) {
    const stood = this.openedAt === null ? 0 : performance.now() - this.openedAt;
    if (stood >= SETTLED_MS) this.#retries = 0;
    this.#socket = null;
    this.openedAt = null;
    this.#settle({ outcome: 'closed' });

    this.ended = { ...verdict(code), reason, receipt: receiptIn(reason) };
    this.#report('closed', this.ended);
    if (this.ended.kind === 'retried' && this.#retries < MAX_RETRIES) return this.#retryLater();
    this.#video.pause();
    this.#enter('ended');
  }

  #retryLater() {
    this.#retries += 1;
    const ms = 2_000 + Math.random() * 8_000; // all viewers of a server lose it at once, and must not return at once
    this.#retryTimer = setTimeout(() => this.#open(), ms);
    this.#enter('retrying');
    this.#report('retry', { number: this.#retries, of: MAX_RETRIES, at: Date.now() + ms });
  }

  #send(eventType, body) {
    const requestId = ++this.#requests;
    if (this.#socket?.readyState !== WebSocket.OPEN) return requestId;
    this.#socket.send(JSON.stringify({ eventType, [eventType]: body, requestId }));
    this.#report('sent', { eventType, body });
    return requestId;
  }

  #enter(state) {
    this.state = state;
    this.#report('state');
  }
}

// --- pictures ---

const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;
const KEEP_S = 20; // what was shown stays this long in memory
const LEAD_S = 0.7; // what a browser may have decoded already, and will show
const CATCH_UP_S = 2; // further behind than this: play a little faster
const JUMP_S = 5; // further behind than this, say after the page was hidden: jump

export const canPlay = Boolean(Source);

/** Feeds the messages of one socket to the video element. */
class Pictures {
  announced = ''; // the type of the next init segment

  #video;
  #fail;
  #type = '';
  #queue = [];
  #buffer = null;
  #stopped = false;

  constructor(video, fail) {
    this.#video = video;
    this.#fail = fail;
  }

  push(bytes) {
    if (this.#stopped) return;
    const type = isInit(bytes) && this.announced;
    if (type !== false && !this.#type) this.#attach(type);
    this.#queue.push({ bytes, type });
    this.#append();
  }

  stop() {
    this.#stopped = true;
    this.#queue = [];
  }

  // The old picture stays on the screen until the first init segment of this socket is here.
  #attach(type) {
    if (!Source?.isTypeSupported(type)) return this.#stopWith(`this browser cannot play ${type || 'this stream'}`);
    this.#type = type;
    const source = new Source();
    const url = URL.createObjectURL(source);
    source.addEventListener('sourceopen', () => {
      URL.revokeObjectURL(url);
      if (this.#stopped) return;
      const buffer = source.addSourceBuffer(type);
      buffer.mode = 'sequence'; // live media does not begin at zero: it is put there
      buffer.addEventListener('updateend', () => this.#onUpdated());
      this.#buffer = buffer;
      this.#append();
    }, { once: true });
    this.#video.disableRemotePlayback = true; // Safari opens a ManagedMediaSource only so
    this.#video.src = url;
  }

  #append() {
    if (this.#stopped || !this.#buffer || this.#buffer.updating || this.#queue.length === 0) return;
    const { bytes, type } = this.#queue.shift();
    try {
      if (type) this.#beginSource(type);
      this.#buffer.appendBuffer(bytes);
    } catch (error) {
      this.#stopWith(error.message);
    }
  }

  // Another source has a clock of its own. It goes right behind what is shown, over the rest of the last one: so it is
  // seen soon, and the picture never stops.
  #beginSource(type) {
    if (type !== this.#type) this.#buffer.changeType(type);
    this.#type = type;
    const { buffered } = this.#buffer;
    if (!buffered.length) return;
    this.#buffer.timestampOffset = Math.min(buffered.end(buffered.length - 1), this.#video.currentTime + LEAD_S);
  }

  #onUpdated() {
    if (this.#stopped) return;
    this.#stayLive();
    // A message that came just before this event may have started the next append.
    if (!this.#buffer.updating && !this.#forget()) this.#append();
  }

  // Steps over holes (at the start, after a switch) and keeps near the live edge.
  #stayLive() {
    const { buffered, currentTime } = this.#video;
    if (!buffered.length) return;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.end(i) < currentTime + 0.1) continue;
      if (buffered.start(i) > currentTime) this.#video.currentTime = buffered.start(i);
      break;
    }
    const edge = buffered.end(buffered.length - 1);
    const behind = edge - this.#video.currentTime;
    if (behind > JUMP_S) this.#video.currentTime = edge - 1;
    // Between the two the rate stays as it is, so that it does not flutter.
    if (behind > CATCH_UP_S) this.#video.playbackRate = 1.1;
    else if (behind < 1) this.#video.playbackRate = 1;
  }

  /** Frees what was shown long ago; false when there is nothing worth it. */
  #forget() {
    const { buffered } = this.#buffer;
    const until = this.#video.currentTime - KEEP_S;
    if (!buffered.length || buffered.start(0) >= until - 1) return false;
    this.#buffer.remove(0, until);
    return true;
  }

  #stopWith(problem) {
    this.stop();
    this.#fail(this.#video.error?.message || problem);
  }
}

function isInit(bytes) {
  return String.fromCharCode(...bytes.subarray(4, 8)) === 'ftyp';
}

/** The type that a message names, wherever in it: whole, or as codecs alone. '' when it names none. */
function typeIn(value) {
  if (typeof value === 'string') {
    if (/^(video|audio)\/mp4\s*;\s*codecs=/i.test(value)) return value;
    return /^(avc[13]|hvc1|hev1|mp4a)\.[\w.]+(\s*,|$)/.test(value) ? `video/mp4; codecs="${value}"` : '';
  }
  return Object.values(value ?? {}).map(typeIn).find(Boolean) ?? '';
}

// --- URLs and messages ---

/** The playback address without its query. */
export function socketUrl(media) {
  return `${media.replace(/^http/, 'ws')}/h5live/authstream/stream.mp4`;
}

/** Values encoded once; empty ones left out, as players do. */
function queryString(values) {
  return Object.entries(values)
    .filter(([, value]) => value)
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join('&');
}

/** A text message; one that is no JSON has the name '' and an empty body. */
function parse(text) {
  try {
    const message = JSON.parse(text);
    const eventType = String(message.eventType ?? '');
    return { eventType, body: message[eventType] ?? {}, requestId: message.requestId };
  } catch {
    return { eventType: '', body: {} };
  }
}

function randomId() {
  return String(crypto.getRandomValues(new Uint32Array(1))[0]);
}
