// The demo page: plays through the gate, mints, counts down, collects refusals.
//
// The page plays two parts. As a back end it holds the API key and mints; as a player it only ever has the four strings.
// Tests read `window.demo`; see the end of this file.
import { LivePlayer, attempt, attemptSwitch, canPlay, inBandVerdict, receiptIn, socketUrl, verdict } from '/player.js';

const $ = (id) => document.getElementById(id);

const TICK_MS = 250;
const MOVING_MS = 1_500; // a picture that stood still for longer does not move
const LOG_LINES = 200;

const { media, problem: mediaProblem } = mediaOrigin();
const video = $('video');

let info = null; // what /demo/info said
let player = null;
let clockAhead = 0; // the gate's clock minus ours, in ms: a countdown by a wrong clock would be a lie
let mintAt = media; // where tokens are minted
let minted = null; // what the form got last: { stream, security, issued, scope }
let busy = false; // a switch or a renewal is under way
let retry = null; // { number, of, at } of the next try
let announced = ''; // the token whose expiry was announced
let lastTime = 0; // the picture's time, and when it last moved
let movedAt = 0;

const log = []; // newest first
const results = {}; // what each attempt came to, by its id

// --- start ---

$('media-origin').textContent = media;
wire();
setInterval(tick, TICK_MS);
load();

async function load() {
  notice('');
  if (mediaProblem) notice(mediaProblem);
  try {
    info = await getJson('/demo/info');
  } catch (error) {
    return notice(`The demo did not tell what it has to show: ${error.message}.`, load);
  }
  if (!canPlay) notice('This browser has no Media Source Extensions: it cannot play, but minting and refusals work.');
  player = new LivePlayer(video, { media, rtmp: info.url }, onPlayer);
  fillStreams();
  for (const id of ['start', 'sound', 'mint-submit', 'refusals-all']) enable($(id), true);
  showPlayer();
  await loadTiles();
}

/** Where playback and minting go: `?media=ORIGIN`, else here. */
function mediaOrigin() {
  const wanted = new URLSearchParams(location.search).get('media');
  if (!wanted) return { media: location.origin };
  try {
    const url = new URL(/^https?:\/\//.test(wanted) ? wanted : `${location.protocol}//${wanted}`);
    return { media: url.origin };
  } catch {
    return { media: location.origin, problem: `“${wanted}” is no origin, so this page’s own gate is used.` };
  }
}

async function getJson(path) {
  const response = await fetch(path, { cache: 'no-store' });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  setClock(response);
  return response.json();
}

// The Date header counts whole seconds: less than two seconds of difference may be no difference at all.
function setClock(response) {
  const theirs = Date.parse(response.headers.get('date') ?? '');
  const ahead = theirs - Date.now();
  clockAhead = Math.abs(ahead) > 2_000 ? ahead : 0;
}

function unixNow() {
  return (Date.now() + clockAhead) / 1000;
}

function notice(text, again) {
  $('notice-text').textContent = text;
  $('notice').hidden = !text;
  $('notice-retry').hidden = !again;
  $('notice-retry').onclick = again ?? null;
}

// --- minting ---

/** Asks the token API; `{ status, ms, answer }`. Empty values are left out, as a tidy back end would. */
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
    // The API grants no cross-origin access, by design: an API key has no place in a foreign page.
    if (mintAt === location.origin) throw error;
    note('page', `${mintAt} does not mint for this page’s origin; minting here instead`);
    mintAt = location.origin;
    return post(body);
  }
}

/** A token of the organisation, as this page's back end hands it to its player. */
async function freshToken(stream) {
  const lifetime = Number($('lifetime').value);
  const { status, answer } = await mint({
    orga: info.organisation,
    expires: lifetime ? String(Math.floor(unixNow() + lifetime)) : '',
  });
  if (status !== 200) throw new Error(answer.message ?? `the token API answered ${status}`);
  return { stream, security: answer.h5live.security, issued: unixNow(), scope: 'orga' };
}

// --- the player's controls ---

function wire() {
  onPress('start', startFresh);
  onPress('start-again', startFresh);
  onPress('toggle', onToggle);
  onPress('sound', onSound);
  onPress('renew', onRenew);
  onPress('reconnect', onReconnect);
  $('mint-form').onsubmit = onMint;
  $('mint-form').onchange = showForm;
  onPress('mint-play', onMintPlay);
  onPress('refusals-all', tryAll);
  $('log-clear').onclick = () => {
    log.length = 0;
    $('log').replaceChildren();
  };
  for (const button of document.querySelectorAll('[data-copies]')) button.onclick = () => copy(button);
  video.addEventListener('timeupdate', noteMoving);
}

async function startFresh() {
  const stream = player.source?.stream ?? info.streams[0].name;
  say('Fetching a token…');
  $('toggle').focus(); // the button that was pressed is about to go
  try {
    player.start(await freshToken(stream));
  } catch (error) {
    say(`No token: ${error.message}.`);
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

function onReconnect() {
  note('page', 'reconnect with the token in use');
  player.reconnect();
}

async function onRenew() {
  const { stream } = player.source;
  await inSocket('Renewing the token…', () => freshToken(stream));
}

async function onSwitch(stream) {
  const { security, issued, scope } = player.source;
  const source = () => ($('fresh').checked ? freshToken(stream) : { stream, security, issued, scope });
  await inSocket(`Changing to ${titleOf(stream)}…`, source);
}

/** Runs one onUpdateSource: one at a time, so that what is shown is always what the last answer said. */
async function inSocket(saying, getSource) {
  busy = true;
  say(saying);
  showPlayer();
  try {
    say(outcomeOf(await player.switchTo(await getSource())));
  } catch (error) {
    say(`No token: ${error.message}.`);
  }
  busy = false;
  showPlayer();
}

function outcomeOf({ outcome, code, reason }) {
  const playing = titleOf(player.source.stream);
  if (outcome === 'switched') return `Playing ${playing}, in the same socket.`;
  if (outcome === 'renewed') return `Token renewed. ${playing} never stopped.`;
  if (outcome === 'refused') return `Denied in band with ${code}: ${lower(verdict(code).meaning)}. ${playing} goes on.`;
  if (outcome === 'aborted') return `The media server did not change the stream (${reason ?? 'no reason given'}).`;
  if (outcome === 'closed') return stateText();
  return 'No answer to the switch.';
}

// --- what the player tells ---

function onPlayer(event, detail) {
  if (event === 'sent') note('sent', `${detail.eventType} ${compact(detail.body)}`);
  if (event === 'text') noteText(detail);
  if (event === 'failed') {
    note('page', detail);
    say(sentence(detail));
  }
  if (event === 'retry') {
    retry = detail;
    note('page', `try ${detail.number} of ${detail.of} in ${((detail.at - Date.now()) / 1000).toFixed(1)} s`);
  }
  if (event === 'closed') note('closed', `${detail.code} “${detail.reason}” · ${detail.meaning}. ${detail.reaction}`);
  if (event === 'state') onState(detail);
}

function onState(state) {
  if (state !== 'retrying') retry = null;
  if (state === 'connecting') note('page', `socket to ${socketUrl(media)}, stream ${player.source.stream}`);
  if (state === 'playing') movedAt = performance.now();
  say(stateText());
  showPlayer();
  tick();
}

// Metadata and keyframe marks come every second or two and would push everything else out of the log.
function noteText({ eventType, body }) {
  if (eventType === 'onMetaData' || eventType === 'onRandomAccessPoint') return;
  note('got', `${eventType || 'a message that is no JSON'} ${compact(body)}`);
}

function stateText() {
  const { state, source, ended } = player;
  if (state === 'connecting') return 'Connecting…';
  if (state === 'playing') return `Playing ${titleOf(source.stream)}.`;
  if (state === 'paused') return 'Paused. The socket stays open.';
  if (state === 'retrying') return `${ended.code}: ${lower(ended.meaning)}. Trying again.`;
  if (state === 'ended') return `Refused or closed with ${ended.code}: ${lower(ended.meaning)}.`;
  return 'Ready. Press Play.';
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

function say(text) {
  setText($('status'), text);
}

function showPlayer() {
  const { state, source, ended } = player;
  const open = state === 'playing' || state === 'paused';
  $('player').dataset.state = state;
  $('start').hidden = state !== 'idle';
  enable($('toggle'), state !== 'connecting');
  setText($('toggle-label'), state === 'playing' ? 'Pause' : 'Play');
  $('toggle-icon').setAttribute('href', state === 'playing' ? '#icon-pause' : '#icon-play');
  enable($('renew'), open && !busy);
  enable($('reconnect'), source && state !== 'connecting');
  showCurtain(state === 'ended' ? ended : null);
  showSwitches(state === 'playing' && !busy, source?.stream);
}

function showCurtain(ended) {
  $('curtain').hidden = !ended;
  if (!ended) return;
  $('curtain-code').textContent = ended.code;
  $('curtain-meaning').textContent = ended.meaning;
  $('curtain-reaction').textContent = `What a player does: ${ended.reaction}`;
  $('curtain-receipt').textContent = ended.receipt ? `Receipt ${ended.receipt}` : '';
}

function showSwitches(enabled, playing) {
  const now = info.streams.find(({ name }) => name === playing) ?? info.streams[0];
  const cameras = [...new Set(info.streams.map(({ title }) => title))];
  const qualities = [...new Set(info.streams.map(({ quality }) => quality))];
  const find = (title, quality) => info.streams.find((stream) => stream.title === title && stream.quality === quality);

  segments($('cameras'), cameras, (title) => {
    const stream = find(title, now.quality) ?? info.streams.find((other) => other.title === title);
    return { label: title.replace(/^Camera /, ''), name: title, stream, pressed: now.title === title, enabled };
  });
  segments($('qualities'), qualities, (quality) => {
    const stream = find(now.title, quality);
    return { label: quality[0].toUpperCase() + quality.slice(1), name: `${quality} quality`, stream, pressed: now.quality === quality, enabled };
  });
}

/** One button for each value. They are made once and then only changed, so that the focus stays where it is. */
function segments(group, values, describe) {
  while (group.children.length < values.length) group.append(element('button', { type: 'button' }));
  values.forEach((value, index) => {
    const button = group.children[index];
    const { label, name, stream, pressed, enabled } = describe(value);
    setText(button, label);
    button.dataset.value = value;
    button.setAttribute('aria-label', name);
    button.setAttribute('aria-pressed', String(pressed));
    enable(button, enabled && stream);
    button.onclick = enabled && stream && !pressed ? () => onSwitch(stream.name) : null;
    button.title = stream ? '' : 'Not offered for this camera';
  });
}

function titleOf(name) {
  const stream = info.streams.find((known) => known.name === name);
  return stream ? `${stream.title}, ${stream.quality} quality` : name;
}

// --- the clock: countdown and facts ---

function tick() {
  if (!player) return;
  noteMoving();
  showToken();
  showFacts();
  showMintedAge();
  setText($('retry'), retry ? `Try ${retry.number} of ${retry.of} in ${Math.max(0, Math.ceil((retry.at - Date.now()) / 1000))} s.` : '');
}

function showToken() {
  if (!player.source) return;
  const { security, issued } = player.source;
  if (!security.expires) return countdown('endless', 'Never expires', 'This token has no expiry.', [1, 0, 0]);

  const left = Number(security.expires) - unixNow();
  const lifetime = Math.max(1, Number(security.expires) - issued);
  if (left > 0) return countdown('valid', duration(Math.ceil(left)), 'until the token expires', [lifetime - left, left, 0]);

  countdown('expired', `Expired ${duration(Math.floor(-left))} ago`, afterExpiry(), [lifetime, 0, -left]);
  if (announced === security.token) return;
  announced = security.token;
  if (isMoving()) {
    say('The token has expired. Playback goes on.');
    note('page', 'the token in use has expired; playback goes on');
  }
}

function afterExpiry() {
  if (isMoving()) return 'still playing';
  if (player.state === 'playing') return 'waiting for the picture';
  return { paused: 'paused, socket still open', connecting: 'connecting', retrying: 'trying again' }[player.state] ?? 'playback has ended';
}

/** Big text, small text, and the line: seconds before now, left until the expiry, played past it. */
function countdown(state, main, small, [before, left, after]) {
  $('token').dataset.token = state;
  setText($('countdown-main'), main);
  setText($('countdown-note'), small);
  $('line-before').style.flexGrow = before;
  $('line-left').style.flexGrow = left;
  $('line-after').style.flexGrow = after;
}

function showFacts() {
  const { source, bytes, openedAt, switches, ahead } = player;
  if (!source) return;
  const { expires } = source.security;
  setText($('fact-stream'), source.stream);
  setText($('fact-picture'), video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : '–');
  setText($('fact-time'), `${video.currentTime.toFixed(1)} s`);
  setText($('fact-buffered'), `${ahead.toFixed(1)} s ahead`);
  setText($('fact-bytes'), size(bytes));
  setText($('fact-expires'), expires ? clock(new Date(expires * 1000 - clockAhead)) : 'never');
  setText($('fact-socket'), openedAt === null ? 'closed' : duration(Math.floor((performance.now() - openedAt) / 1000)));
  setText($('fact-switches'), String(switches));
}

// --- the mint form ---

function fillStreams() {
  $('mint-streamname').replaceChildren(...info.streams.map(({ name }) => element('option', { value: name }, name)));
  const host = location.hostname;
  $('mint-referer-hint').textContent = host.includes('.') && !/^[\d.]+$/.test(host)
    ? `Only pages of this host may play. This page is on ${host}.`
    : `Only pages of this host may play. This page is on ${host}, which is no domain name.`;
  showForm();
}

function showForm() {
  const custom = $('mint-expires').value === 'custom';
  $('mint-expires-custom').hidden = !custom;
  $('mint-streamname-hint').textContent = formScope() === 'orga'
    ? `The token is good for every stream of ${info.organisation}. This one goes into the configuration.`
    : 'The token is good for this stream alone.';
}

function formScope() {
  return document.querySelector('input[name=scope]:checked').value;
}

/** Sent as typed: it is the API that says what is wrong. */
function formBody() {
  const expires = $('mint-expires').value;
  const scope = formScope() === 'orga' ? { orga: info.organisation } : { streamname: $('mint-streamname').value };
  const lives = { never: '', custom: $('mint-expires-custom').value };
  return {
    ...scope,
    tag: $('mint-tag').value,
    expires: expires in lives ? lives[expires] : String(Math.floor(unixNow() + Number(expires))),
    ip: $('mint-ip').value,
    referer: $('mint-referer').value,
  };
}

async function onMint(event) {
  event.preventDefault();
  if (!isEnabled($('mint-submit'))) return;
  clearErrors();
  $('mint-status').textContent = '';
  const body = formBody();
  enable($('mint-submit'), false);
  try {
    const { status, ms, answer } = await mint(body);
    if (status === 200) showMinted(body, answer, ms);
    else showError(status, answer);
  } catch (error) {
    showError(0, { message: `The token API cannot be reached: ${error.message}.` });
  }
  enable($('mint-submit'), true);
}

function showError(status, { error, field, message, expected }) {
  const said = message ?? error ?? `The token API answered ${status}.`;
  const typed = field === 'expires' && $('mint-expires').value === 'custom';
  const input = $(typed ? 'mint-expires-custom' : `mint-${field}`); // fields and inputs have the same names
  input?.setAttribute('aria-invalid', 'true');
  (input ?? $('mint-submit')).focus();
  ($(`mint-${field}-error`) ?? $('mint-error')).textContent = expected ? `${sentence(said)} Expected: ${expected}` : sentence(said);
  $('mint-status').textContent = `Not minted${status ? `: the API answered ${status}` : ''}.`;
}

function clearErrors() {
  for (const place of document.querySelectorAll('#mint-form .error')) place.textContent = '';
  for (const input of document.querySelectorAll('#mint-form [aria-invalid]')) input.removeAttribute('aria-invalid');
}

function showMinted(body, answer, ms) {
  const { security } = answer.h5live;
  minted = { stream: $('mint-streamname').value, security, issued: unixNow(), scope: formScope() };
  $('mint-empty').hidden = true;
  $('mint-answer').hidden = false;
  $('mint-result').dataset.state = 'minted';
  $('snippet').textContent = snippet(minted);
  $('answer-json').textContent = JSON.stringify(answer, null, 2);
  $('mint-status').textContent = `Minted in ${ms} ms.`;
  showMintedAge();
}

/** The part of nanoplayer's configuration that an operator pastes. */
function snippet({ stream, security }) {
  const h5live = {
    server: { websocket: socketUrl(media) },
    rtmp: { url: info.url, streamname: stream },
    security,
  };
  return JSON.stringify({ source: { entries: [{ index: 0, h5live }] } }, null, 2);
}

function showMintedAge() {
  if (!minted) return;
  const { security, scope, stream } = minted;
  const good = scope === 'orga' ? `every stream of ${info.organisation}` : stream;
  const left = Math.ceil(Number(security.expires) - unixNow());
  const age = !security.expires ? 'never expires' : left > 0 ? `expires in ${duration(left)}` : `expired ${duration(-left)} ago`;
  setText($('mint-summary'), `Good for ${good}; ${age}. options ${security.options} = ${boundTo(security.options)}.`);
}

/** The bit mask in words. */
function boundTo(options) {
  const bits = [[1, 'expires'], [2, 'ip'], [4, 'referer'], [8, 'tag'], [16, 'organisation']];
  return bits.filter(([bit]) => Number(options) & bit).map(([, name]) => name).join(' + ') || 'the stream alone';
}

function onMintPlay() {
  player.start(minted);
  $('watch').scrollIntoView();
  $('toggle').focus({ preventScroll: true });
}

/** Browsers offer the clipboard on secure pages only; elsewhere the text is left selected. */
async function copy(button) {
  const place = $(button.dataset.copies);
  let done = 'Copied.';
  try {
    await navigator.clipboard.writeText(place.textContent);
  } catch {
    getSelection().selectAllChildren(place);
    done = 'Selected. Press Ctrl+C or ⌘C to copy.';
  }
  $('mint-status').textContent = done;
  button.textContent = done.split('.')[0];
  setTimeout(() => (button.textContent = 'Copy'), 2_000);
}

// --- the wall of refusals ---

// What is wrong with each attempt. What the gate says to it is never written here.
const ATTEMPTS = {
  'expired': 'A good token whose time is over.',
  'wrong-stream': 'A token for one stream, used for another.',
  'other-organisation': 'A token of one organisation, used for a stream of another.',
  'wrong-referer': 'A token for the pages of another site.',
  'wrong-ip': 'A token for a viewer at another address.',
  'tampered': 'A good token, changed after it was signed.',
  'missing': 'No token at all.',
  'masked-down': 'The options claim less than the token was signed with.',
  'in-band': 'A good playback that then asks, in its socket, for a stream it has no token for.',
};

async function loadTiles() {
  try {
    const attempts = await getJson('/demo/refusals');
    $('tiles').replaceChildren(...attempts.map(tile));
  } catch (error) {
    $('refusals-status').textContent = `The attempts could not be fetched: ${error.message}.`;
  }
}

function tile({ id, title }) {
  const button = element('button', { type: 'button', id: `try-${id}` }, 'Try');
  button.setAttribute('aria-label', `Try: ${title}`);
  button.onclick = () => isEnabled(button) && tryOne(id);
  const item = element('li', { id: `refusal-${id}`, className: 'card tile' },
    element('div', { className: 'spread' }, element('h3', {}, title), button),
    element('p', { className: 'what' }, ATTEMPTS[id] ?? ''),
    element('div', { className: 'verdict' }, element('p', { className: 'empty' }, 'Not tried yet')));
  item.dataset.testid = `refusal-${id}`;
  item.dataset.outcome = 'none';
  return item;
}

async function tryOne(id) {
  const [result] = await run([id]);
  if (!result) return;
  const { title, outcome, code, says } = result;
  $('refusals-status').textContent = outcome === 'refused' ? `${title}: ${code}, ${lower(says.meaning)}. ${says.reaction}` : `${title}: ${UNREFUSED[outcome]}`;
}

async function tryAll() {
  enable($('refusals-all'), false);
  $('refusals-status').textContent = 'Trying…';
  const done = await run([...$('tiles').children].map(({ id }) => id.replace(/^refusal-/, '')));
  const refused = done.filter(({ outcome }) => outcome === 'refused').length;
  if (done.length) $('refusals-status').textContent = `${done.length} attempts, ${refused} refused.`;
  enable($('refusals-all'), true);
}

/** Tries some of the attempts at once, with freshly made tokens. */
async function run(ids) {
  for (const id of ids) showTrying(id);
  try {
    const attempts = await getJson('/demo/refusals');
    return await Promise.all(attempts.filter(({ id }) => ids.includes(id)).map(judge));
  } catch (error) {
    for (const id of ids) showUntried(id);
    $('refusals-status').textContent = `The attempts could not be fetched: ${error.message}.`;
    return [];
  }
}

async function judge({ id, title, query, switch: message }) {
  const result = await (message ? attemptSwitch(media, query, message) : attempt(media, query));
  const says = result.outcome === 'refused' ? (result.inBand ? inBandVerdict(result.code) : verdict(result.code)) : null;
  const done = { ...result, title, says, receipt: result.body?.receipt ?? receiptIn(result.reason) };
  results[id] = done;
  showResult(id, done);
  note('verdict', `${title}: ${says ? `${done.code} ${says.meaning}` : done.outcome} ${done.receipt}`);
  return done;
}

const UNREFUSED = {
  granted: 'Granted. The gate did not refuse this.',
  silent: 'No verdict in time.',
};

function showTrying(id) {
  setTile(id, 'trying', element('p', { className: 'empty' }, 'Trying…'));
}

function showUntried(id) {
  setTile(id, 'none', element('p', { className: 'empty' }, 'Not tried'));
}

function showResult(id, { outcome, code, says, receipt, reason, inBand, after, ms }) {
  if (!says) return setTile(id, outcome, element('p', { className: 'code' }, '—'), element('p', {}, UNREFUSED[outcome]));
  const facts = [
    ['Player', says.reaction],
    inBand && ['Seen', after >= 3 ? 'The old stream went on.' : 'The old stream did not go on.'],
    ['Receipt', receipt || (inBand ? 'none in band' : reason || 'none')],
    ['Came as', inBand ? 'onUpdateSourceError' : `close code after ${ms} ms`],
  ].filter(Boolean);
  setTile(id, outcome,
    element('p', { className: 'code' }, String(code)),
    element('p', { className: 'meaning' }, says.meaning),
    element('dl', {}, ...facts.map(([name, value]) => element('div', { className: name === 'Receipt' ? 'receipt' : '' }, element('dt', {}, name), element('dd', {}, value)))));
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
  log.unshift({ at: at.getTime(), kind, text });
  log.length = Math.min(log.length, LOG_LINES);
  const line = element('li', {}, element('time', {}, clock(at)), element('b', {}, kind), element('span', {}, text));
  line.dataset.kind = kind;
  $('log').prepend(line);
  while ($('log').children.length > LOG_LINES) $('log').lastChild.remove();
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

// Not `disabled`: a disabled button loses the focus, and with it the place of somebody who uses the keyboard.
function enable(button, on) {
  button.setAttribute('aria-disabled', String(!on));
}

function isEnabled(button) {
  return button.getAttribute('aria-disabled') !== 'true';
}

function onPress(id, act) {
  $(id).onclick = () => isEnabled($(id)) && act();
}

/** Writes only what is new: a live region speaks at every write. */
function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} days`;
}

function size(bytes) {
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

function clock(date) {
  return date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
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
  log,
  results,
  get info() {
    return info;
  },
  get minted() {
    return minted;
  },
  get player() {
    if (!player) return null;
    const { state, source, ended, bytes, switches, ahead } = player;
    const { currentTime: time, videoWidth: width, videoHeight: height } = video;
    const left = source?.security.expires ? Number(source.security.expires) - unixNow() : null;
    return { ...source, state, ended, bytes, switches, ahead, time, width, height, busy, secondsLeft: left, moving: isMoving() };
  },
};
