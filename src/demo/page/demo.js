// The demo page. It plays two parts: as a back end it holds the API key and mints; as a player it has the four strings.
// Tests read `window.demo`; see the end of this file.
import { LivePlayer, attempt, attemptSwitch, canPlay, inBandVerdict, receiptIn, socketUrl, verdict } from '/player.js';
import { hlsUrl, playHls, playsHls } from '/hls.js';

const $ = (id) => document.getElementById(id);

const MOVING_MS = 1_500; // a picture that stood still for longer does not move
const LOG_LINES = 200;

const wanted = new URLSearchParams(location.search).get('media') ?? location.origin;
const isOrigin = /^https?:\/\//.test(wanted) && URL.canParse(wanted);
const media = isOrigin ? new URL(wanted).origin : location.origin; // where playback and minting go
const video = $('video');

let info = null; // what /demo/info said
let player = null;
let clockAhead = 0; // the gate's clock minus ours, in ms: a countdown by a wrong clock would lie
let mintAt = media; // where tokens are minted
let minted = null; // what the form got last: { stream, security, issued }
let busy = false; // a switch or a renewal is under way
let retry = null; // { number, of, at } of the next try
let announced = ''; // the token whose expiry was announced
let playedPast = 0; // seconds played after the expiry
let lastTime = 0; // the picture's time, and when it last moved
let movedAt = 0;
let hls = null; // the HLS playback: { session, expires }, or { code, receipt } of its refusal

const log = []; // newest first
const results = {}; // what each attempt came to, by its id

// --- start ---

write('media-origin', media);
wire();
setInterval(tick, 250);
load();

async function load() {
  notice(isOrigin ? '' : `“${wanted}” is no origin, so this page’s own gate is used.`);
  try {
    info = await getJson('/demo/info');
  } catch (error) {
    return notice(`The demo cannot be reached: ${error.message}.`, load);
  }
  if (!canPlay) notice('This browser has no Media Source Extensions and cannot play. The rest works.');
  player = new LivePlayer(video, { media, rtmp: info.url }, onPlayer);
  fillStreams();
  showHlsHint();
  for (const id of ['start', 'sound', 'configuration-copy', 'mint-submit', 'refusals-all']) enable($(id), true);
  showPlayer();
  await loadTiles();
}

async function getJson(path) {
  const response = await fetch(path, { cache: 'no-store' });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  // The Date header counts whole seconds: up to two seconds of difference may be none at all.
  const ahead = Date.parse(response.headers.get('date')) - Date.now();
  clockAhead = Math.abs(ahead) > 2_000 ? ahead : 0;
  return response.json();
}

function unixNow() {
  return (Date.now() + clockAhead) / 1000;
}

function notice(text, again) {
  write('notice-text', text);
  $('notice').hidden = !text;
  $('notice-retry').hidden = !again;
  $('notice-retry').onclick = again ?? null;
}

// --- minting ---

/** Asks the token API; `{ status, ms, answer }`. Empty values are left out. */
async function mint(wanted) {
  const body = JSON.stringify(Object.fromEntries(Object.entries(wanted).filter(([, value]) => value)));
  const from = performance.now();
  const response = await post(body);
  const ms = Math.round(performance.now() - from);
  const answer = await response.json().catch(() => ({}));
  note('api', `POST /secure/token ${body} → ${response.status} in ${ms} ms${answer.error ? `: ${answer.error}` : ''}`);
  return { status: response.status, ms, answer };
}

async function post(body) {
  const headers = { 'Content-Type': 'application/json', 'X-BINTU-APIKEY': info.api_key };
  try {
    return await fetch(`${mintAt}/secure/token`, { method: 'POST', headers, body });
  } catch (error) {
    // The API grants no cross-origin access, by design: API keys have no place in foreign pages.
    if (mintAt === location.origin) throw error;
    note('page', `${mintAt} does not mint for this page; minting here instead`);
    mintAt = location.origin;
    return post(body);
  }
}

/** A token of the organisation, as this page's back end hands it to its player. */
function freshToken(stream) {
  return tokenFor(stream, { orga: info.organisation }, Number($('lifetime').value));
}

/** A token of `scope` to play `stream` with; one without a lifetime, in seconds, never expires. */
async function tokenFor(stream, scope, lifetime) {
  const { status, answer } = await mint({ ...scope, expires: lifetime ? String(Math.floor(unixNow() + lifetime)) : '' });
  if (status !== 200) throw new Error(answer.message ?? `the token API answered ${status}`);
  return { stream, security: answer.h5live.security, issued: unixNow() };
}

// --- the player's controls ---

function wire() {
  onPress($('start'), startFresh);
  onPress($('start-again'), startFresh);
  onPress($('toggle'), onToggle);
  onPress($('sound'), onSound);
  onPress($('renew'), onRenew);
  onPress($('reconnect'), () => player.reconnect());
  $('mint-form').onsubmit = onMint;
  $('mint-form').onchange = showForm;
  onPress($('mint-play'), onMintPlay);
  onPress($('hls-start'), onHls);
  onPress($('refusals-all'), tryAll);
  onPress($('copy'), async () => write('mint-status', await copy($('snippet'))));
  onPress($('configuration-copy'), onConfiguration);
  video.addEventListener('timeupdate', noteMoving);
}

async function startFresh() {
  const stream = player.source?.stream ?? info.streams[0].name;
  write('status', 'Fetching a token…');
  $('toggle').focus(); // the pressed button is about to go
  try {
    player.start(await freshToken(stream));
  } catch (error) {
    write('status', `No playback: ${error.message}.`);
  }
}

function onToggle() {
  if (player.state === 'playing') player.pause();
  else if (player.state === 'paused') player.resume();
  else startFresh();
}

function onSound() {
  video.muted = !video.muted;
  $('sound').setAttribute('aria-pressed', String(!video.muted));
}

function onRenew() {
  return inSocket('Renewing the token…', () => freshToken(player.source.stream));
}

function onSwitch(stream) {
  const source = () => ($('fresh').checked ? freshToken(stream) : { ...player.source, stream });
  return inSocket(`Changing to ${titleOf(stream)}…`, source);
}

/** Runs one onUpdateSource at a time, so that what is shown is what the last answer said. */
async function inSocket(saying, getSource) {
  busy = true;
  write('status', saying);
  showPlayer();
  try {
    write('status', outcomeOf(await player.switchTo(await getSource())));
  } catch (error) {
    write('status', `No token: ${error.message}.`);
  }
  busy = false;
  showPlayer();
  tick();
}

function outcomeOf({ outcome, code, reason }) {
  const playing = titleOf(player.source.stream);
  if (outcome === 'switched') return `Playing ${playing}, in the same socket.`;
  if (outcome === 'renewed') return `Token renewed. ${playing} never stopped.`;
  if (outcome === 'refused') return `Denied in band with ${code}: ${lower(verdict(code).meaning)}. ${playing} goes on.`;
  if (outcome === 'aborted') return `The media server did not change the stream: ${reason}.`;
  return outcome === 'closed' ? stateText() : 'No answer to the switch.';
}

// --- what the player tells ---

function onPlayer(event, detail) {
  if (event === 'state') onState(player.state);
  if (event === 'sent') note('sent', `${detail.eventType} ${compact(detail.body)}`);
  // Metadata and keyframe marks come every second or two and would push everything else out of the log.
  if (event === 'text' && !/^on(MetaData|RandomAccessPoint)$/.test(detail.eventType)) note('got', `${detail.eventType} ${compact(detail.body)}`);
  if (event === 'closed') note('closed', `${detail.code} “${detail.reason}” · ${detail.meaning}. ${detail.reaction}`);
  if (event === 'retry') retry = detail;
  if (event === 'failed') {
    note('page', detail);
    write('status', sentence(detail));
  }
}

function onState(state) {
  if (state !== 'retrying') retry = null;
  if (state === 'connecting') note('page', `socket to ${socketUrl(media)}, stream ${player.source.stream}`);
  if (state === 'playing') movedAt = performance.now();
  write('status', stateText());
  showPlayer();
  tick();
}

function stateText() {
  const { state, source, ended } = player;
  if (state === 'playing') return `Playing ${titleOf(source.stream)}.`;
  if (state === 'paused') return 'Paused. The socket stays open.';
  if (state === 'retrying') return `${ended.code}: ${lower(ended.meaning)}. Trying again.`;
  if (state === 'ended') return `Ended with ${ended.code}: ${lower(ended.meaning)}.`;
  return 'Connecting…';
}

function noteMoving() {
  if (video.currentTime === lastTime) return;
  lastTime = video.currentTime;
  movedAt = performance.now();
}

function isMoving() {
  return player?.state === 'playing' && performance.now() - movedAt < MOVING_MS;
}

// --- what is shown of the player ---

function showPlayer() {
  const { state, source, ended } = player;
  const open = state === 'playing' || state === 'paused';
  $('player').dataset.state = state;
  $('start').hidden = state !== 'idle';
  enable($('toggle'), state !== 'connecting');
  write('toggle-label', state === 'playing' ? 'Pause' : 'Play');
  $('toggle-icon').setAttribute('href', state === 'playing' ? '#icon-pause' : '#icon-play');
  enable($('renew'), open && !busy);
  enable($('reconnect'), source && state !== 'connecting');
  showCurtain(state === 'ended' ? ended : null);
  showSwitches(state === 'playing' && !busy, source?.stream);
}

function showCurtain(ended) {
  $('curtain').hidden = !ended;
  if (!ended) return;
  write('curtain-code', String(ended.code));
  write('curtain-meaning', ended.meaning);
  write('curtain-reaction', `What a player does: ${ended.reaction}`);
  write('curtain-receipt', ended.receipt && `Receipt ${ended.receipt}`);
}

function showSwitches(usable, playing) {
  const { streams } = info;
  const now = streams.find(({ name }) => name === playing) ?? streams[0];
  const find = (title, quality) => streams.find((stream) => stream.title === title && stream.quality === quality);
  segments('cameras', streams.map(({ title }) => title), now.title, usable, (title) =>
    find(title, now.quality) ?? streams.find((stream) => stream.title === title));
  segments('qualities', streams.map(({ quality }) => quality), now.quality, usable, (quality) => find(now.title, quality));
}

/** One button for each value. They are made once and then only changed, so that the focus stays where it is. */
function segments(id, all, chosen, usable, streamOf) {
  const values = [...new Set(all)];
  const group = $(id);
  if (!group.children.length) group.append(...values.map((value) => element('button', { type: 'button' }, value.replace(/^Camera /, ''))));
  values.forEach((value, index) => {
    const button = group.children[index];
    const stream = streamOf(value);
    button.dataset.value = value;
    button.setAttribute('aria-pressed', String(value === chosen));
    button.title = stream ? '' : 'Not offered for this camera';
    enable(button, usable && stream);
    button.onclick = () => isEnabled(button) && value !== chosen && onSwitch(stream.name);
  });
}

function titleOf(stream) {
  const known = info.streams.find(({ name }) => name === stream);
  return known ? `${known.title}, ${known.quality} quality` : stream;
}

// --- the clock: countdown and facts ---

function tick() {
  showHls();
  if (!player) return;
  noteMoving();
  showToken();
  showFacts();
  showMintedAge();
  write('retry', retry ? `Try ${retry.number} of ${retry.of} in ${Math.ceil((retry.at - Date.now()) / 1000)} s.` : '');
}

function showToken() {
  if (!player.source) return;
  const { security, issued } = player.source;
  if (!security.expires) return countdown('endless', 'Never expires', 'This token has no expiry.', [1, 0, 0]);

  const left = Number(security.expires) - unixNow();
  const lifetime = Math.max(1, Number(security.expires) - issued);
  if (left > 0) return countdown('valid', duration(Math.ceil(left)), 'until the token expires', [lifetime - left, left, 0]);

  const { state, ended } = player;
  if (!ended) playedPast = -left;
  const main = `Expired ${duration(Math.floor(-left))} ago`;
  countdown(ended ? 'ended' : 'expired', main, afterExpiry(state, ended), [lifetime, 0, playedPast]);
  if (announced === security.token || !isMoving()) return;
  announced = security.token;
  write('status', 'The token has expired. Playback goes on.');
  note('page', 'the token in use has expired; playback goes on');
}

function afterExpiry(state, ended) {
  if (isMoving()) return 'still playing';
  if (state === 'ended') return `playback has ended with ${ended.code}`;
  return state === 'playing' ? 'waiting for the picture' : state;
}

/** Big text, small text, and the line: seconds gone, left, and played past the expiry. */
function countdown(state, main, small, [before, left, after]) {
  $('token').dataset.token = state;
  write('countdown-main', main);
  write('countdown-note', small);
  $('line-before').style.flexGrow = before;
  $('line-left').style.flexGrow = left;
  $('line-after').style.flexGrow = after;
}

function showFacts() {
  const { source, bytes, openedAt, ahead } = player;
  if (!source) return;
  const { expires } = source.security;
  const facts = {
    stream: source.stream,
    picture: video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : '–',
    time: `${video.currentTime.toFixed(1)} s`,
    buffered: `${ahead.toFixed(1)} s ahead`,
    bytes: `${(bytes / 1024 / 1024).toFixed(2)} MiB`,
    expires: expires ? clock(new Date(expires * 1000 - clockAhead)) : 'never',
    socket: openedAt === null ? 'closed' : duration(Math.floor((performance.now() - openedAt) / 1000)),
  };
  for (const [name, text] of Object.entries(facts)) write(`fact-${name}`, text);
}

// --- HLS ---

const HLS_SECONDS = 15;

function showHlsHint() {
  enable($('hls-start'), playsHls);
  if (!playsHls) {
    write('hls-status', 'This browser plays no HLS by itself. The line in the terminal does, with ffplay; so does hls.js on your own page.');
  }
}

async function onHls() {
  const stream = info.streams[0].name;
  write('hls-status', 'Fetching a token…');
  try {
    const { security } = await tokenFor(stream, { streamname: stream }, HLS_SECONDS);
    const cid = String(Math.floor(Math.random() * 1e9));
    hls = { ...(await playHls($('hls-video'), hlsUrl(media, { url: info.url, stream, security, cid }))), expires: Number(security.expires) };
  } catch (error) {
    return write('hls-status', sentence(error.message));
  }
  const { code, receipt, session } = hls;
  note('hls', code ? `refused: ${code} ${receipt}` : `plays as session ${session}`);
  write('hls-status', code ? `${code}: ${verdict(code).meaning}. Receipt ${receipt}.` : 'Playing.');
  write('hls-session', session ?? '–');
}

function showHls() {
  if (!hls?.session) return;
  const left = hls.expires - unixNow();
  write('hls-time', `${$('hls-video').currentTime.toFixed(1)} s`);
  write('hls-token', left > 0 ? `expires in ${Math.ceil(left)} s` : `expired ${Math.floor(-left)} s ago, and it plays on`);
}

// --- the mint form ---

function fillStreams() {
  $('mint-streamname').replaceChildren(...info.streams.map(({ name }) => element('option', { value: name }, name)));
  const host = location.hostname;
  const isDomain = /\.[a-z][^.]*$/i.test(host);
  write('mint-referer-hint', `Only pages of this host may play. This page is on ${host}${isDomain ? '' : ', which is no domain name'}.`);
  showForm();
}

function showForm() {
  $('mint-expires-custom').hidden = $('mint-expires').value !== 'custom';
}

/** Sent as typed: it is the API that says what is wrong. */
function formBody() {
  const expires = $('mint-expires').value;
  const typed = { never: '', custom: $('mint-expires-custom').value };
  return {
    ...($('mint-orga').checked ? { orga: info.organisation } : { streamname: $('mint-streamname').value }),
    tag: $('mint-tag').value,
    expires: typed[expires] ?? String(Math.floor(unixNow() + Number(expires))),
    ip: $('mint-ip').value,
    referer: $('mint-referer').value,
  };
}

async function onMint(event) {
  event.preventDefault();
  if (!isEnabled($('mint-submit'))) return;
  clearErrors();
  write('mint-status', '');
  enable($('mint-submit'), false);
  try {
    const { status, ms, answer } = await mint(formBody());
    if (status === 200) showMinted(answer, ms);
    else showError(status, answer);
  } catch (error) {
    showError(0, { message: `The token API cannot be reached: ${error.message}.` });
  }
  enable($('mint-submit'), true);
}

function showError(status, { error, field, message, expected }) {
  const said = (message ?? error ?? `The token API answered ${status}.`).replaceAll('`', '');
  const typed = field === 'expires' && $('mint-expires').value === 'custom';
  const input = $(typed ? 'mint-expires-custom' : `mint-${field}`); // fields and inputs have the same names
  input?.setAttribute('aria-invalid', 'true');
  (input ?? $('mint-submit')).focus();
  ($(`mint-${field}-error`) ?? $('mint-error')).textContent = expected ? `${sentence(said)} Expected: ${expected}` : sentence(said);
  write('mint-status', `Not minted${status ? `: the API answered ${status}` : ''}.`);
}

function clearErrors() {
  for (const place of document.querySelectorAll('#mint-form .error')) place.textContent = '';
  for (const input of document.querySelectorAll('#mint-form [aria-invalid]')) input.removeAttribute('aria-invalid');
}

function showMinted(answer, ms) {
  const { security } = answer.h5live;
  minted = { stream: $('mint-streamname').value, security, issued: unixNow() };
  $('mint-empty').hidden = true;
  $('mint-answer').hidden = false;
  write('snippet', configurationOf(minted));
  write('answer-json', JSON.stringify(answer, null, 2));
  write('mint-status', `Minted in ${ms} ms.`);
  showMintedAge();
}

function showMintedAge() {
  if (!minted) return;
  const { security, stream } = minted;
  const good = security.options & 16 ? `every stream of ${info.organisation}` : stream;
  const left = Math.ceil(Number(security.expires) - unixNow());
  const age = !security.expires ? 'never expires' : left > 0 ? `expires in ${duration(left)}` : `expired ${duration(-left)} ago`;
  write('mint-summary', `Good for ${good}; ${age}. options ${security.options} = ${boundTo(security.options)}.`);
}

/** The bit mask in words. */
function boundTo(options) {
  const names = ['expires', 'ip', 'referer', 'tag', 'organisation'];
  return names.filter((_, bit) => (Number(options) >> bit) & 1).join(' + ') || 'the stream alone';
}

function onMintPlay() {
  player.start(minted);
  $('watch').scrollIntoView();
  $('toggle').focus({ preventScroll: true });
}

// --- nanoplayer's configuration ---

const CONFIGURATION_SECONDS = 3600;

/** All that nanoplayer is set up with to play a stream here: JSON, which is JavaScript as well. */
function configurationOf({ stream, security }) {
  const server = {
    websocket: socketUrl(media),
    hls: `${media}/h5live/authhttp/playlist.m3u8`,
    progressive: `${media}/h5live/authhttp/stream.mp4`,
  };
  const rtmp = { url: info.url, streamname: stream };
  const configuration = {
    source: { entries: [{ index: 0, label: titleOf(stream), h5live: { server, rtmp, security } }], startIndex: 0 },
    playback: { autoplay: true, automute: true, muted: true },
    style: { controls: true },
  };
  return JSON.stringify(configuration, null, 2);
}

/** With a token of its own, which outlives the visit to this page. */
async function onConfiguration() {
  const place = $('configuration-text');
  const stream = player.source?.stream ?? info.streams[0].name;
  write('configuration-status', 'Fetching a token…');
  enable($('configuration-copy'), false);
  try {
    write('configuration-text', configurationOf(await tokenFor(stream, { streamname: stream }, CONFIGURATION_SECONDS)));
    place.hidden = false;
    write('configuration-status', `${titleOf(stream)}, good for an hour. ${await copy(place)}`);
  } catch (error) {
    write('configuration-status', `No token: ${error.message}.`);
  }
  enable($('configuration-copy'), true);
}

/** Browsers offer the clipboard on secure pages only; elsewhere the text is left selected. What there is to say of it. */
async function copy(place) {
  try {
    await navigator.clipboard.writeText(place.textContent);
    return 'Copied.';
  } catch {
    getSelection().selectAllChildren(place);
    return 'Selected. Press Ctrl+C or ⌘C to copy.';
  }
}

// --- the wall of refusals ---

// What is wrong with each attempt. What the gate says to it is not written here.
const ATTEMPTS = {
  'expired': 'A good token whose time is over.',
  'wrong-stream': 'A token for one stream, used for another.',
  'other-organisation': 'A token of one organisation, used for a stream of another.',
  'wrong-referer': 'A token for the pages of another site.',
  'wrong-ip': 'A token for another address.',
  'tampered': 'A good token, changed after it was signed.',
  'missing': 'No token at all.',
  'masked-down': 'The options claim less than was signed.',
  'in-band': 'A good playback asks, in its socket, for a stream it has no token for.',
};

async function loadTiles() {
  $('tiles').replaceChildren(...(await fetchAttempts()).map(tile));
}

async function fetchAttempts() {
  try {
    return await getJson('/demo/refusals');
  } catch (error) {
    write('refusals-status', `The attempts could not be fetched: ${error.message}.`);
    return [];
  }
}

function tile({ id, title }) {
  const button = element('button', { type: 'button', id: `try-${id}` }, 'Try');
  button.setAttribute('aria-label', `Try: ${title}`);
  onPress(button, () => tryOne(id));
  const item = element('li', { id: `refusal-${id}`, className: 'card tile' },
    element('div', { className: 'spread' }, element('h3', {}, title), button),
    paragraph('what', ATTEMPTS[id] ?? ''),
    element('div', { className: 'verdict' }, paragraph('empty', 'Not tried yet')));
  item.dataset.outcome = 'none';
  return item;
}

async function tryOne(id) {
  for (const { title, code, says, outcome } of await run([id])) {
    write('refusals-status', `${title}: ${says ? `${code}, ${lower(says.meaning)}. ${says.reaction}` : UNREFUSED[outcome]}`);
  }
}

async function tryAll() {
  enable($('refusals-all'), false);
  const done = await run([...$('tiles').children].map(({ id }) => id.replace('refusal-', '')));
  if (done.length) write('refusals-status', `${done.length} attempts, ${done.filter(({ says }) => says).length} refused.`);
  enable($('refusals-all'), true);
}

/** Tries some of the attempts at once, with freshly made tokens. */
async function run(ids) {
  write('refusals-status', 'Trying…');
  for (const id of ids) setTile(id, 'trying', paragraph('empty', 'Trying…'));
  const made = (await fetchAttempts()).filter(({ id }) => ids.includes(id));
  if (!made.length) for (const id of ids) setTile(id, 'none', paragraph('empty', 'Not tried'));
  return Promise.all(made.map(judge));
}

async function judge({ id, title, query, switch: message }) {
  const result = await (message ? attemptSwitch(media, query, message) : attempt(media, query));
  const { outcome, code, reason, body, inBand } = result;
  const says = outcome === 'refused' ? (inBand ? inBandVerdict : verdict)(code) : null;
  const done = { ...result, title, says, receipt: body?.receipt ?? receiptIn(reason) };
  results[id] = done;
  showResult(id, done);
  note('verdict', `${title}: ${says ? `${code} ${says.meaning}. ${done.receipt}` : UNREFUSED[outcome]}`);
  return done;
}

const UNREFUSED = {
  granted: 'Granted. The gate did not refuse this.',
  silent: 'No verdict in time.',
};

function showResult(id, { outcome, code, says, receipt, reason, inBand, after, ms }) {
  if (!says) return setTile(id, outcome, paragraph('code', '—'), paragraph('', UNREFUSED[outcome]));
  const facts = [['Player', says.reaction]];
  if (inBand) facts.push(['Seen', after >= 3 ? 'The old stream went on.' : 'The old stream did not go on.']);
  facts.push(['Receipt', receipt ? element('code', {}, receipt) : inBand ? 'none in band' : reason || 'none']);
  facts.push(['Came as', inBand ? 'onUpdateSourceError' : `close code after ${ms} ms`]);
  const rows = facts.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value)));
  setTile(id, outcome, paragraph('code', String(code)), paragraph('meaning', says.meaning), element('dl', {}, ...rows));
  $(`refusal-${id}`).dataset.code = code;
}

function setTile(id, outcome, ...content) {
  const item = $(`refusal-${id}`);
  item.dataset.outcome = outcome;
  delete item.dataset.code;
  item.querySelector('.verdict').replaceChildren(...content);
  enable(item.querySelector('button'), outcome !== 'trying');
}

// --- the log ---

function note(kind, text) {
  const at = new Date();
  log.unshift({ kind, text });
  const line = element('li', {}, element('time', {}, clock(at)), element('b', {}, kind), element('span', {}, text));
  line.dataset.kind = kind;
  $('log').prepend(line);
  log.splice(LOG_LINES);
  if ($('log').children.length > LOG_LINES) $('log').lastChild.remove();
}

/** A message body on one line, long strings (tokens) shortened. */
function compact(body) {
  return JSON.stringify(body, (_, value) => (typeof value === 'string' && value.length > 48 ? `${value.slice(0, 24)}…` : value));
}

// --- small things ---

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function paragraph(className, text) {
  return element('p', { className }, text);
}

// Not `disabled`: a disabled button loses the focus, and with it the place in the page of a user with a keyboard.
function enable(button, on) {
  button.setAttribute('aria-disabled', String(!on));
}

function isEnabled(button) {
  return button.getAttribute('aria-disabled') !== 'true';
}

function onPress(button, act) {
  button.onclick = () => isEnabled(button) && act();
}

/** Writes only what is new: a live region speaks at every write. */
function write(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} days`;
}

function clock(date) {
  return date.toTimeString().slice(0, 8);
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, '')}.`;
}

function lower(text) {
  return text[0].toLowerCase() + text.slice(1);
}

// For tests and the curious: everything is read when asked for.
window.demo = {
  media,
  video,
  log,
  results,
  get info() {
    return info;
  },
  get hls() {
    return hls;
  },
  get minted() {
    return minted;
  },
  get player() {
    if (!player) return null;
    const { state, source, ended, bytes, switches, ahead } = player;
    const expires = source?.security.expires;
    const secondsLeft = expires ? expires - unixNow() : null;
    return { ...source, state, ended, bytes, switches, ahead, busy, secondsLeft, moving: isMoving() };
  },
};
