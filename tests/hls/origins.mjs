// Media servers that speak ordinary HLS: nginx before what ffmpeg writes, nginx-rtmp fed by ffmpeg, and the
// demonstration's own. Every process is a child of the tests, on loopback, with its files in a folder of its own.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { built } from '../browser/built.mjs';
import { freePort } from '../browser/demo-gate.mjs';
import { until } from '../browser/until.mjs';

const run = promisify(execFile);
const RTMP_MODULE = '/usr/lib/nginx/modules/ngx_rtmp_module.so';
const SEGMENTS_AT_START = 4; // as many as a player wants to see before it begins

/** Pictures in a second, of nginx's streams and of the demonstration's. */
export const FRAME_RATE = 15;
export const DEMO_FRAME_RATE = 25;

/** Live streams of nginx. The first is one media playlist, the second a choice of two renditions. */
export const LIVE = { ts: 'abcde-ts', fmp4: 'abcde-fmp4', rtmp: 'abcde-rtmp' };

/** Finished streams of nginx: what a player makes of them is the same every time. */
export const FINISHED = {
  ts: 'abcde-vod-ts', fmp4: 'abcde-vod-fmp4', ranges: 'abcde-vod-ranges', encrypted: 'abcde-vod-key', sound: 'abcde-vod-sound',
};

/** Those of both with more than one rendition of the picture. */
export const CHOICES = [LIVE.fmp4, FINISHED.fmp4];

/** How long these are. */
export const FINISHED_S = 6;

/** What nginx puts before `NAME/playlist.m3u8`. */
export const NGINX_PREFIX = '/hls/';

/** nginx with every stream of `LIVE` and `FINISHED`; `{ port, url, requests, stop }`. */
export async function startNginxOrigin() {
  const folder = await mkdtemp(path.join(tmpdir(), 'h5gate-hls-'));
  const media = path.join(folder, 'media');
  const written = [LIVE.ts, LIVE.fmp4, ...Object.values(FINISHED)];
  const folderOf = (name) => path.join(media, 'hls', name);
  await Promise.all(written.map((name) => mkdir(folderOf(name), { recursive: true })));
  const [port, rtmpPort] = [await freePort(), await freePort()];

  const started = [];
  const stop = async () => {
    for (const child of started.reverse()) await child.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const nginx = await startNginx(folder, {
      modules: [RTMP_MODULE],
      main: `
rtmp {
  access_log off;
  server {
    listen 127.0.0.1:${rtmpPort};
    application live {
      live on;
      hls on;
      hls_nested on;
      hls_path ${folder}/rtmp; # its own: it clears the folder of what it did not write
      hls_fragment 1s;
      hls_playlist_length 8s;
    }
  }
}`,
      servers: `
server {
  listen 127.0.0.1:${port};
  root ${media};
  types {
    application/vnd.apple.mpegurl m3u8;
    video/mp2t ts;
    video/mp4 mp4 m4s;
    application/octet-stream key;
  }
  location = / { return 204; }
  location ${NGINX_PREFIX}${LIVE.rtmp}/ { alias ${folder}/rtmp/${LIVE.rtmp}/; }
  location = ${NGINX_PREFIX}${LIVE.rtmp}/playlist.m3u8 { alias ${folder}/rtmp/${LIVE.rtmp}/index.m3u8; }
}`,
    });
    started.push(nginx);
    started.push(
      startFfmpeg([...pictures('320x180', 'red', 440, ['-re']), ...LIVE_TS, 'playlist.m3u8'], folderOf(LIVE.ts)),
      startFfmpeg([...twoRenditions(['-re']), ...LIVE_FMP4, '%v/media.m3u8'], folderOf(LIVE.fmp4)),
      startFfmpeg([...pictures('320x180', 'lime', 880, ['-re']), '-f', 'flv', `rtmp://127.0.0.1:${rtmpPort}/live/${LIVE.rtmp}`], folder),
    );
    await writeFinished(folderOf);
    const url = (stream) => `http://127.0.0.1:${port}${NGINX_PREFIX}${stream}/playlist.m3u8`;
    const children = [...started];
    await until('every stream is live', async () => {
      for (const { ended } of children) if (ended) throw new Error(ended);
      return (await Promise.all(Object.values(LIVE).map((stream) => isLive(url(stream))))).every(Boolean);
    });
    return { port, url, stop, requests: nginx.requests };
  } catch (error) {
    await stop(); // the first error is the one that tells
    throw error;
  }
}

/** Where the gate sees `startFront` come from, so that it cannot be taken for the viewers, who come from 127.0.0.1. */
export const FRONT = '127.0.0.9';

/** nginx in front of a gate, which hears from it who the viewer is; `{ port, requests, stop }`. */
export async function startFront(gatePort) {
  const folder = await mkdtemp(path.join(tmpdir(), 'h5gate-front-'));
  const port = await freePort();
  const nginx = await startNginx(folder, {
    servers: `
server {
  listen 127.0.0.1:${port};
  location = / { return 204; }
  location /h5live/ {
    proxy_pass http://127.0.0.1:${gatePort};
    proxy_bind ${FRONT};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
  }
}`,
  });
  const stop = async () => {
    await nginx.stop();
    await rm(folder, { recursive: true, force: true });
  };
  return { port, stop, requests: nginx.requests };
}

/** The demonstration's media server; `{ port, stop }`. Its streams are `demo1-camera1` and its like. */
export async function startDemoOrigin() {
  const program = built('examples/demo_origin', 'cargo build --example demo_origin');
  const child = start(program, ['serve', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [address] = await Promise.race([
    once(createInterface({ input: child.process.stdout }), 'line'),
    once(child.process, 'exit').then(() => Promise.reject(new Error('the demo origin ended'))),
  ]);
  return { port: Number(address.split(':').pop()), stop: child.stop };
}

// --- nginx ---

async function startNginx(folder, { modules = [], main = '', servers }) {
  const file = path.join(folder, 'nginx.conf');
  const log = path.join(folder, 'requests.log');
  const user = process.getuid() === 0 ? 'user root;' : ''; // else the workers could not read the folder
  await writeFile(file, `
${modules.map((module) => `load_module ${module};`).join('\n')}
${user}
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr crit; # a stream that is not there yet is no news
events { worker_connections 512; }
${main}
http {
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join('\n  ')}
  log_format lines escape=json '$request_method $request_uri $status';
  access_log ${log} lines;
  ${servers}
}
`);
  const nginx = start('nginx', ['-p', folder, '-c', file, '-e', 'stderr'], { stdio: ['ignore', 'ignore', 'inherit'] }, 'SIGQUIT');
  const ports = [...servers.matchAll(/listen 127\.0\.0\.1:(\d+)/g)].map(([, port]) => port);
  await until('nginx listens', async () => {
    if (nginx.ended) throw new Error(nginx.ended);
    const answers = await Promise.all(ports.map((port) => fetch(`http://127.0.0.1:${port}/`).catch(() => null)));
    return answers.every(Boolean);
  });
  /** Every request so far, as `METHOD URI STATUS`. */
  const requests = async () => (await readFile(log, 'utf8')).split('\n').filter(Boolean);
  return Object.assign(nginx, { requests });
}

// --- ffmpeg ---

const CODING = [
  '-c:v', 'libx264', '-profile:v', 'baseline', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p',
  '-g', String(FRAME_RATE), '-threads', '1', '-c:a', 'aac', '-b:a', '64k',
];

// Twelve segments of a second, and as many kept behind them: a viewer may rest for ten seconds and go on.
const LIVE_LIST = ['-f', 'hls', '-hls_time', '1', '-hls_list_size', '12', '-hls_delete_threshold', '12'];
const LIVE_TS = [...LIVE_LIST, '-hls_flags', 'delete_segments+temp_file'];
const RENDITIONS = ['-var_stream_map', 'v:0,a:0,name:high v:1,a:1,name:low', '-master_pl_name', 'playlist.m3u8'];
const SOUND_APART = ['-var_stream_map', 'v:0,agroup:sound,name:picture a:0,agroup:sound,default:yes,name:sound', '-master_pl_name', 'playlist.m3u8'];
const LIVE_FMP4 = [
  ...LIVE_LIST, '-hls_flags', 'delete_segments+temp_file+independent_segments', '-hls_segment_type', 'fmp4', ...RENDITIONS,
];

function pictures(size, colour, tone, pace = []) {
  return [...inputs(size, colour, tone, pace), ...CODING];
}

function inputs(size, colour, tone, pace) {
  const picture = `testsrc2=size=${size}:rate=${FRAME_RATE},drawbox=w=iw/3:h=ih/3:color=${colour}:t=fill`;
  return [...pace, '-f', 'lavfi', '-i', picture, ...pace, '-f', 'lavfi', '-i', `sine=frequency=${tone}:sample_rate=48000`];
}

function twoRenditions(pace = []) {
  return [
    ...inputs('320x180', 'blue', 660, pace),
    '-filter_complex', '[0:v]split=2[high][little];[little]scale=192:108[low]',
    '-map', '[high]', '-map', '1:a', '-map', '[low]', '-map', '1:a', ...CODING, '-b:v:0', '300k', '-b:v:1', '100k',
  ];
}

/** One in each of the shapes that a playlist gives to its segments. */
async function writeFinished(folderOf) {
  const list = ['-t', String(FINISHED_S), '-f', 'hls', '-hls_time', '1', '-hls_playlist_type', 'vod'];
  const fmp4 = ['-hls_segment_type', 'fmp4'];
  const keys = folderOf(FINISHED.encrypted);
  await writeFile(path.join(keys, 'media.key'), Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'));
  await writeFile(path.join(keys, 'key.info'), `media.key\n${path.join(keys, 'media.key')}\n`);
  const ffmpeg = (name, args) => run('ffmpeg', [...QUIET, ...args], { cwd: folderOf(name) });
  await Promise.all([
    ffmpeg(FINISHED.ts, [...pictures('320x180', 'red', 440), ...list, 'playlist.m3u8']),
    ffmpeg(FINISHED.fmp4, [...twoRenditions(), ...list, ...fmp4, ...RENDITIONS, '%v/media.m3u8']),
    ffmpeg(FINISHED.ranges, [...pictures('320x180', 'red', 440), ...list, ...fmp4, '-hls_flags', 'single_file', 'playlist.m3u8']),
    ffmpeg(FINISHED.sound, [...pictures('320x180', 'red', 440), ...list, ...fmp4, ...SOUND_APART, '%v/media.m3u8']),
    ffmpeg(FINISHED.encrypted, [...pictures('320x180', 'red', 440), ...list, '-hls_key_info_file', 'key.info', 'playlist.m3u8']),
  ]);
}

const QUIET = ['-hide_banner', '-loglevel', 'error', '-nostdin'];

function startFfmpeg(args, cwd) {
  return start('ffmpeg', [...QUIET, ...args], { stdio: ['ignore', 'ignore', 'inherit'], cwd });
}

/** Whether a playlist, or the first that it names, has enough segments to begin with. */
async function isLive(url) {
  const answer = await fetch(url).catch(() => null);
  if (!answer?.ok) return false;
  const lines = (await answer.text()).split('\n');
  if (lines.some((line) => line.startsWith('#EXT-X-STREAM-INF'))) {
    return isLive(new URL(lines.find((line) => line && !line.startsWith('#')), url));
  }
  return lines.filter((line) => line.startsWith('#EXTINF')).length >= SEGMENTS_AT_START;
}

// --- children ---

/** A child that does not outlive the tests; `ended` says how it went, and is null while it runs. */
export function start(program, args, options, stopSignal = 'SIGKILL') {
  const child = spawn(program, args, options);
  const handle = {
    process: child,
    ended: null,
    async stop() {
      if (!handle.ended) child.kill(stopSignal);
      try {
        await until(`${program} has ended`, () => handle.ended, 5_000);
      } finally {
        child.kill('SIGKILL');
      }
    },
  };
  child.on('error', ({ message }) => (handle.ended = `${program}: ${message}`));
  child.on('exit', (code, signal) => (handle.ended = `${program} ended with ${code ?? signal}`));
  return handle;
}
