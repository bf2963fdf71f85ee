// A small H5Live player on Media Source Extensions: what a page does with the socket, and a record of what it saw.
//
// `window.player` is what tests call, `window.state` what they read. Open it with ?ws=URL to play at once.
'use strict';

const video = document.querySelector('video');
const state = {
  opened: false,
  closed: null, // { code, reason, wasClean }
  texts: [], // every text message as it came
  errors: [], // the bodies of onUpdateSourceError
  problems: [], // what a published player would have thrown
  streamInfo: null, // the body of the last onStreamInfo
  binary: [], // every binary message as it came; a test is short enough to keep them
  bytes: 0,
};
window.state = state;

let socket;
let sourceBuffer;
let mimeType;
let toAppend = []; // media in order; a string announces the type of what follows
let requests = 0;
let switches = 0;
let shows = true;

// What published players read of each message. They do so without asking whether it is there, and throw where it is not:
// in the middle of a handler, so that nothing of the stream is shown.
const READ = {
  onServerInfo({ capabilities, events }) {
    expect('array', { capabilities, events });
    for (const name of [...capabilities, ...events]) expect('string', { name });
  },
  onStreamStatus: ({ status }) => expect('string', { status }),
  onStreamInfo({ mimeType, haveVideo, haveAudio, videoInfo, audioInfo }) {
    expect('string', { mimeType });
    expect('boolean', { haveVideo, haveAudio });
    const { width, height, frameRate } = videoInfo;
    const { sampleRate, channels, bitsPerSample } = audioInfo;
    expect('number', { width, height, frameRate, sampleRate, channels, bitsPerSample });
  },
  onRandomAccessPoint: ({ streamTime }) => expect('number', { streamTime }),
  onMetaData({ handlerName, message, streamTime }) {
    expect('string', { handlerName });
    expect('object', { message });
    expect('number', { streamTime });
  },
  onUpdateSourceSuccess: answer,
  onUpdateSourceAbort({ reason, ...body }) {
    answer(body);
    expect('string', { reason });
  },
  onUpdateSourceError({ code, ...body }) {
    answer(body);
    expect('number', { code });
  },
};

function read(eventType, body) {
  READ[eventType](body);
}

function answer({ tag, count, requestId }) {
  expect('string', { tag });
  expect('number', { count, requestId });
}

function expect(type, values) {
  for (const [name, value] of Object.entries(values)) {
    if ((Array.isArray(value) ? 'array' : typeof value) !== type) throw new TypeError(`${name} is no ${type}: ${value}`);
  }
}

/** Plays; without `show` it listens alone, for media that no browser could show. */
function open(url, { show = true } = {}) {
  shows = show;
  socket = new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => (state.opened = true);
  socket.onmessage = ({ data }) => {
    try {
      if (typeof data === 'string') onText(data);
      else onBinary(new Uint8Array(data));
    } catch (error) {
      state.problems.push(`${error}`);
      throw error;
    }
  };
  socket.onclose = ({ code, reason, wasClean }) => (state.closed = { code, reason, wasClean });
}

function onText(text) {
  state.texts.push(text);
  const message = JSON.parse(text);
  read(message.eventType, message[message.eventType]);
  if (message.eventType === 'onUpdateSourceError') state.errors.push(message.onUpdateSourceError);
  if (message.eventType === 'onStreamInfo') {
    state.streamInfo = message.onStreamInfo;
    toAppend.push(message.onStreamInfo.mimeType);
    append();
  }
}

function onBinary(bytes) {
  state.binary.push(bytes);
  state.bytes += bytes.length;
  toAppend.push(bytes);
  append();
}

function append() {
  if (!shows) return;
  if (!mimeType) return attachMedia(toAppend.shift());
  if (!sourceBuffer || sourceBuffer.updating || toAppend.length === 0) return;
  const next = toAppend.shift();
  if (typeof next === 'string') {
    if (next !== mimeType) sourceBuffer.changeType(next);
    mimeType = next;
    return append();
  }
  // Another source has a clock of its own: put it where the last one ends, so that currentTime goes on.
  const { buffered } = sourceBuffer;
  if (isInit(next) && buffered.length) sourceBuffer.timestampOffset = buffered.end(buffered.length - 1);
  sourceBuffer.appendBuffer(next);
}

function attachMedia(type) {
  mimeType = type;
  const media = new MediaSource();
  media.onsourceopen = () => {
    sourceBuffer = media.addSourceBuffer(type);
    sourceBuffer.mode = 'sequence'; // live media does not begin at zero; place it there
    sourceBuffer.onupdateend = () => {
      stepOverGap();
      append();
    };
    append();
  };
  video.src = URL.createObjectURL(media);
}

// The first picture lies a little after zero, and a switch can leave a small hole: a player steps over both.
function stepOverGap() {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i++) {
    if (buffered.end(i) < currentTime + 0.1) continue;
    if (buffered.start(i) > currentTime) video.currentTime = buffered.start(i);
    return;
  }
}

function isInit(bytes) {
  return String.fromCharCode(...bytes.subarray(4, 8)) === 'ftyp';
}

function send(eventType, body) {
  const requestId = ++requests;
  socket.send(JSON.stringify({ eventType, [eventType]: body, requestId }));
  return requestId;
}

/** Asks for another stream inside the socket. Without `security` the message has none. */
function switchTo({ stream, security, url = 'rtmp://localhost/play' }) {
  return update({ rtmp: { url, stream }, security });
}

/** Asks for a switch whose body says this. */
function update(body) {
  const count = ++switches;
  const tag = `switch-${count}`;
  const requestId = send('onUpdateSource', { options: { faststart: true }, tag, count, ...body });
  return { tag, count, requestId };
}

/** Asks for these streams one after the other, so many milliseconds apart, and waits for no answer. */
async function switchThrough(streams, milliseconds, security) {
  const asked = [];
  for (const stream of streams) {
    asked.push(switchTo({ stream, security }));
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }
  return asked;
}

function pause() {
  video.pause();
  send('onPause', {});
}

function play() {
  send('onPlay', {});
  return video.play();
}

/**
 * Opens a socket of its own and tells how it ended; `openMs` is how long it stood open. One that is not closed has
 * the code null: a verdict would have come by then.
 */
function attempt(url) {
  return new Promise((resolve) => {
    const probe = new WebSocket(url);
    let openedAt = null;
    const end = ({ code, reason, wasClean }) =>
      resolve({ opened: openedAt !== null, openMs: performance.now() - openedAt, code, reason, wasClean });
    probe.onopen = () => (openedAt = performance.now());
    probe.onclose = end;
    setTimeout(() => {
      end({ code: null, reason: 'it was not closed', wasClean: false });
      probe.close();
    }, 12_000);
  });
}

/** The colour in the upper left corner of the picture; null before the first picture. */
function corner() {
  if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return null;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(video, 10, 10, 1, 1, 0, 0, 1, 1);
  const channels = [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  return ['red', 'lime', 'blue'][channels.indexOf(Math.max(...channels))];
}

/** What tests look at most, small enough to be asked for often. */
function look() {
  return {
    time: video.currentTime,
    corner: corner(),
    width: video.videoWidth,
    bytes: state.bytes,
    messages: state.binary.length,
    errors: state.errors,
    problems: state.problems,
    closed: state.closed,
    failed: video.error?.message ?? null,
  };
}

/** All binary messages in base64. A plain-HTTP page has no crypto.subtle, so the hashing is left to the test. */
function received() {
  return state.binary.map((bytes) => bytes.toBase64());
}

window.player = { open, read, switchTo, update, switchThrough, pause, play, attempt, look, received, close: () => socket.close(1000) };

const playAtOnce = new URLSearchParams(location.search).get('ws');
if (playAtOnce) open(playAtOnce);
