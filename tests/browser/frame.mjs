// The picture of an iOS player, in a real browser: its <video> stands in an about:blank frame, from which neither Referer nor
// Origin is sent, and plays by the page of the check beside it.
//
//   npm install && node --test frame.mjs
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { startGate } from './gate.mjs';
import { startSite } from './site.mjs';
import { until } from './until.mjs';

let folder;
let media;
let gate;
let wire; // what the browser's HLS goes through
let site;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'h5gate-hls-'));
  await promisify(execFile)('ffmpeg', [
    '-v', 'error', '-f', 'lavfi', '-i', 'testsrc=size=160x120:rate=10', '-t', '8', '-pix_fmt', 'yuv420p', '-c:v', 'libx264',
    '-preset', 'ultrafast', '-g', '10', '-f', 'hls', '-hls_time', '1', '-hls_list_size', '0', path.join(folder, 'playlist.m3u8'),
  ]);
  media = await serveFolder();
  const http = `http_servers = ["http://127.0.0.1:${media.port}"]\nhttp_path = "/{stream}/"`;
  gate = await startGate(media.port, { upstream: http });
  wire = await tap(gate.port);
  site = await startSite();
});

after(async () => {
  await site?.stop();
  wire?.server.close();
  await gate?.stop();
  media?.server.close();
  media?.server.closeAllConnections();
  if (folder) await rm(folder, { recursive: true });
});

test('a picture in a blank frame plays by the check of its page, and not without it', async (t) => {
  const security = await gate.mint({ streamname: 'abcde-one', referer: 'page.test' });
  const page = await site.open('page.test');
  t.after(() => page.close());

  // What HLS the frame asks for has no page, and by that no playback.
  const alone = await show(page, hlsUrl(security, { pid: '1' }));
  assert.equal(await outcome(page, alone), 'failed');

  const checked = { pid: '2', flags: 'checkandclose' };
  const code = await page.evaluate(async (url) => {
    const socket = new WebSocket(url);
    return new Promise((resolve) => (socket.onclose = (event) => resolve(event.code)));
  }, gate.url('abcde-one', security, checked));
  assert.equal(code, 4200);
  const both = await show(page, hlsUrl(security, checked));
  assert.equal(await outcome(page, both), 'plays');
  const heads = wire.text().split('\r\n\r\n').filter((head) => head.startsWith('GET /h5live/authhttp/'));
  assert.ok(heads.length > 2);
  for (const head of heads) assert.doesNotMatch(head, /^(referer|origin):/im);
  const started = gate.log.map((line) => JSON.parse(line)).find(({ message }) => message === 'playback started');
  assert.equal(started.referer, 'page.test');
  assert.equal(started.inherited, true);

  // In parallel, HLS first.
  const parallel = { pid: '3', flags: 'checkandclose' };
  const early = await show(page, hlsUrl(security, parallel), gate.url('abcde-one', security, parallel));
  assert.equal(await outcome(page, early), 'plays');

  // A check from another site tells nothing.
  const other = await site.open('other.test');
  t.after(() => other.close());
  const foreign = { pid: '4', flags: 'checkandclose' };
  const stolen = await show(other, hlsUrl(security, foreign), gate.url('abcde-one', security, foreign));
  assert.equal(await outcome(other, stolen), 'failed');
});

function hlsUrl(security, changes) {
  const place = { path: '/h5live/authhttp/playlist.m3u8' };
  return gate.url('abcde-one', security, changes, place)
    .replace(/^ws:/, 'http:')
    .replace(`:${gate.port}/`, `:${wire.port}/`);
}

/** Puts a <video> into a frame of about:blank, and then opens the check's socket; the frame's number. */
function show(page, url, check) {
  return page.evaluate(([address, socket]) => {
    const frame = document.createElement('iframe');
    frame.src = 'about:blank';
    document.body.append(frame);
    const video = frame.contentDocument.createElement('video');
    video.muted = true;
    frame.contentDocument.body.append(video);
    video.src = address;
    video.play().catch(() => {});
    if (socket) new WebSocket(socket);
    return window.frames.length - 1;
  }, [url, check]);
}

/** Whether the picture of a frame moves, or its player gave up. */
function outcome(page, number) {
  return until('the picture plays or fails', () => page.evaluate((index) => {
    const video = window.frames[index].document.querySelector('video');
    if (video.error) return 'failed';
    return video.currentTime > 0.5 && video.videoWidth === 160 && 'plays';
  }, number));
}

/** Passes connections on to a port of this machine, and keeps what clients say. */
async function tap(to) {
  const said = [];
  const server = createTcpServer((client) => {
    const gate = connect(to, '127.0.0.1');
    client.on('data', (bytes) => said.push(bytes));
    client.pipe(gate).pipe(client);
    for (const [one, other] of [[client, gate], [gate, client]]) one.on('error', () => other.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: server.address().port, text: () => Buffer.concat(said).toString('latin1') };
}

async function serveFolder() {
  const server = createServer(async (request, response) => {
    const name = path.basename(new URL(request.url, 'http://media').pathname);
    const body = await readFile(path.join(folder, name)).catch(() => null);
    if (!body) return response.writeHead(404).end();
    const type = name.endsWith('.m3u8') ? 'application/vnd.apple.mpegurl' : 'video/mp2t';
    response.writeHead(200, { 'Content-Type': type, 'Content-Length': body.length });
    response.end(request.method === 'HEAD' ? undefined : body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: server.address().port };
}
