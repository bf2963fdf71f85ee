// Real proxies in front of the gate, and viewers that write into the header by which the proxy tells their address.
//
//   cargo build --bin h5gate && node --test fronts.mjs
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePort } from '../browser/demo-gate.mjs';
import { startGate } from '../browser/gate.mjs';
import { until } from '../browser/until.mjs';
import { FRONT, start, startFront } from './origins.mjs';

const VIEWER = '127.0.0.1'; // where the proxies see the viewers
const FORGED = '203.0.113.7';
const GRANTED = 502; // there is no media server behind
const REFUSED = 403;

const X_FORWARDED_FOR = ['\xff', `${FORGED}, \xe9`, `${FORGED}, "`, `${FORGED},`, '', `unknown, ${FORGED}`];
const FORWARDED = [`for=${FORGED};by="`, `for=${FORGED};by="\\""`, `for=${FORGED};by="\\`, `for="${FORGED}`, '\xff', `for=${FORGED},`];

const gates = {};
const fronts = [];
let folder;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'h5gate-fronts-'));
  for (const header of ['x-forwarded-for', 'forwarded']) {
    const tables = `[client]\ntrusted_proxies = ["${FRONT}"]\nheader = "${header}"`;
    gates[header] = await startGate(await freePort(), { tables });
  }
  const nginx = await startFront(gates['x-forwarded-for'].port);
  fronts.push({ name: 'nginx', front: nginx, header: 'X-Forwarded-For', sent: X_FORWARDED_FOR });
  const lines = { 'X-Forwarded-For': 'option forwardfor', Forwarded: 'http-request add-header Forwarded for=%[src]' };
  for (const [header, line] of Object.entries(lines)) {
    const front = await startHaproxy(gates[header.toLowerCase()].port, header, line);
    fronts.push({ name: 'HAProxy', front, header, sent: header === 'Forwarded' ? FORWARDED : X_FORWARDED_FOR });
  }
});

after(async () => {
  for (const { front } of fronts) await front.stop();
  for (const gate of Object.values(gates)) await gate.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('what a viewer writes into the header of its front', () => {
  for (const name of ['nginx, X-Forwarded-For', 'HAProxy, X-Forwarded-For', 'HAProxy, Forwarded']) {
    test(`changes nothing behind ${name}`, async () => {
      const { front, header, sent } = fronts.find((one) => `${one.name}, ${one.header}` === name);
      const gate = gates[header.toLowerCase()];
      for (const [ip, expected] of [[VIEWER, GRANTED], [FORGED, REFUSED]]) {
        const expires = String(Math.ceil(Date.now() / 1000) + 600);
        const security = await gate.mint({ streamname: 'abcde-one', expires, ip });
        const url = gate.url('abcde-one', security, {}, { path: '/h5live/authhttp/playlist.m3u8' });
        const target = url.slice(url.indexOf('/h5live'));
        assert.equal(await status(front.port, target, []), expected);
        for (const value of sent) {
          assert.equal(await status(front.port, target, [`${header}: ${value}`]), expected, `${ip}: ${value}`);
        }
      }
    });
  }
});

/** HAProxy in front of a gate, which tells the viewer's address by `line`; `{ port, stop }`. */
async function startHaproxy(gatePort, name, line) {
  const port = await freePort();
  const file = path.join(folder, `${name}.cfg`);
  await writeFile(file, `
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen front
  bind 127.0.0.1:${port}
  ${line}
  server gate 127.0.0.1:${gatePort} source ${FRONT}
`);
  const haproxy = start('haproxy', ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'inherit'] }, 'SIGTERM');
  await until('HAProxy listens', async () => {
    if (haproxy.ended) throw new Error(haproxy.ended);
    return status(port, '/', []).catch(() => null);
  });
  return Object.assign(haproxy, { port });
}

/** The status of the answer to a request with these lines, whose bytes may be any. */
function status(port, target, lines) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    const head = [`GET ${target} HTTP/1.1`, 'Host: gate.test', 'Connection: close', ...lines, '', ''].join('\r\n');
    let answer = '';
    socket.on('connect', () => socket.write(Buffer.from(head, 'latin1')));
    socket.on('data', (data) => (answer += data.toString('latin1')));
    socket.on('error', reject);
    socket.on('end', () => resolve(Number(answer.split(' ')[1])));
  });
}
