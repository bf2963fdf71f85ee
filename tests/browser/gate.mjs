// The gate itself: the real binary with a configuration of its own, and what its customers do (mint tokens, build
// playback URLs).
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { gateBinary } from './built.mjs';
import { until } from './until.mjs';

const ORGANISATIONS = ['abcde', 'fghij', 'demo1'];

/** What the name of a refusal looks like, for a regular expression. */
export const RECEIPT = '[0-9A-HJKMNP-TV-Z]{10}';

/** The same token with one bit of its signature turned. */
export function tampered(token) {
  const dot = token.lastIndexOf('.');
  const signature = Buffer.from(token.slice(dot + 1), 'base64url');
  signature[16] ^= 1;
  return `${token.slice(0, dot)}.${signature.toString('base64url')}`;
}

/** Starts a gate before the media server on `mediaPort`, with more lines of `[upstream]` and more tables. */
export async function startGate(mediaPort, more = {}) {
  const program = gateBinary();
  const folder = await mkdtemp(path.join(tmpdir(), 'h5gate-'));
  const { file, apiKeys } = await writeConfig(folder, mediaPort, more);
  const child = spawn(program, ['serve', '--config', file, '--log-format', 'json'], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let end = null; // the exit code, or why there is none
  child.on('error', ({ message }) => (end = message));
  child.on('exit', (code, signal) => (end = code ?? signal));
  const log = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    log.push(line);
    if (process.env.H5GATE_SHOW_LOG) console.error(line);
  });

  const stop = async () => {
    child.kill('SIGTERM');
    try {
      await until('the gate has ended', () => end !== null, 20_000);
    } finally {
      child.kill('SIGKILL'); // one that does not end by itself must not outlive the tests
      await rm(folder, { recursive: true });
    }
    if (end !== 0) throw new Error(`the gate ended with ${end}\n${log.join('\n')}`);
  };

  let ports;
  try {
    ports = await until('the gate listens', () => {
      if (end !== null) throw new Error(`the gate ended with ${end}\n${log.join('\n')}`);
      const found = listeningPorts(log);
      return found.playback && found.admin && found;
    });
  } catch (error) {
    await stop().catch(() => {}); // the first error is the one that tells
    throw error;
  }

  return {
    port: ports.playback,
    adminPort: ports.admin,
    log,
    stop,

    /** Mints a token for `{ streamname | orga, tag, expires, ip, referer }`; returns the four strings. */
    async mint(wanted) {
      const organisation = wanted.orga ?? wanted.streamname.split('-')[0];
      const response = await fetch(`http://127.0.0.1:${ports.playback}/secure/token`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-BINTU-APIKEY': apiKeys[organisation] },
        body: JSON.stringify(wanted),
      });
      const answer = await response.text();
      if (response.status !== 200) throw new Error(`minting: ${response.status} ${answer}`);
      return JSON.parse(answer).h5live.security;
    },

    /**
     * A playback URL as the player builds it: a new cid each time, empty values left out, security keys last.
     * `changes` adds, replaces or (with `undefined`) drops query values.
     */
    url(stream, security = {}, changes = {}, { host = 'media.test', path = '/h5live/authstream/stream.mp4' } = {}) {
      const values = { url: 'rtmp://localhost/play', stream, cid: randomBytes(6).toString('hex'), pid: '4711', ...security };
      const query = Object.entries({ ...values, ...changes })
        .filter(([, value]) => value !== undefined && value !== '')
        .map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
      return `ws://${host}:${ports.playback}${path}?${query.join('&')}`;
    },
  };
}

async function writeConfig(folder, mediaPort, { upstream = '', tables = '' }) {
  const apiKeys = {};
  let config = `
[[listener]]
address = "127.0.0.1:0"
serves = ["playback", "token-api"]

[admin]
address = "127.0.0.1:0"

[upstream]
servers = ["http://127.0.0.1:${mediaPort}"]
websocket_path = "/h5live/stream/stream.mp4"
rtmp_urls = ["rtmp://localhost/play", "rtmp://localhost/splay"]
${upstream}
${tables}
`;
  for (const [index, hash] of ORGANISATIONS.entries()) {
    apiKeys[hash] = randomBytes(24).toString('hex');
    const digest = createHash('sha256').update(apiKeys[hash]).digest('hex');
    const secretFile = path.join(folder, `${hash}.key`);
    await writeFile(secretFile, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
    config += `
[[organisation]]
hash = "${hash}"
api_keys = [{ id = "test", sha256 = "${digest}" }]

[[organisation.key]]
id = "k${index + 1}"
secret_file = "${secretFile}"
state = "active"
`;
  }
  const file = path.join(folder, 'h5gate.toml');
  await writeFile(file, config);
  return { file, apiKeys };
}

function listeningPorts(log) {
  const ports = {};
  for (const line of log) {
    let event;
    try {
      event = JSON.parse(line);
    } catch {
      continue; // a panic message, for one; it shows when the gate ends
    }
    const { message, serves, address } = { ...event, ...event.fields };
    if (message !== 'listening') continue;
    ports[String(serves).includes('admin') ? 'admin' : 'playback'] = Number(address.split(':').pop());
  }
  return ports;
}
