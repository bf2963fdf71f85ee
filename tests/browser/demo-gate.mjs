// What the tests and the screenshots of `h5gate demo` are made with: the process itself, and two browsers that are told
// what to do by the same few commands.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';
import { gateBinary } from './built.mjs';
import { until } from './until.mjs';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FIREFOX = process.env.FIREFOX ?? '/usr/bin/firefox-esr';

// --- the demo ---

/** Starts the demo on a free port and waits for its page; `{ url, introduction, interrupt, stop }`. */
export async function startDemo() {
  const port = await freePort();
  const demo = spawnDemo(`127.0.0.1:${port}`);
  const url = `http://127.0.0.1:${port}`;
  try {
    await until('the page answers', async () => {
      if (demo.ended) throw new Error(`the demo ended with ${demo.ended.code}\n${demo.complaints}`);
      // The introduction comes a moment before the gate listens.
      return demo.introduction.includes('Ctrl-C') && (await fetch(url).catch(() => null))?.ok;
    });
  } catch (error) {
    await demo.stop(); // the first error is the one that tells
    throw error;
  }
  return Object.assign(demo, { url, port });
}

/** The process alone. `introduction` and `complaints` grow, `ended` is null until `{ code, signal }` are known. */
export function spawnDemo(listen) {
  const child = spawn(gateBinary(), ['demo', '--listen', listen], { stdio: ['ignore', 'pipe', 'pipe'] });
  const demo = {
    introduction: '',
    complaints: '',
    ended: null,

    /** Ctrl-C; `{ code, signal, ms }` when the process is gone. */
    async interrupt() {
      const from = performance.now();
      child.kill('SIGINT');
      await until('the demo has ended', () => demo.ended);
      return { ...demo.ended, ms: demo.ended.at - from };
    },

    /** For the end of a test, however it went. */
    async stop() {
      if (!demo.ended) child.kill('SIGKILL');
      await until('the demo is gone', () => demo.ended);
    },
  };
  child.stdout.setEncoding('utf8').on('data', (text) => (demo.introduction += text));
  child.stderr.setEncoding('utf8').on('data', (text) => {
    demo.complaints += text;
    if (process.env.H5GATE_SHOW_LOG) process.stderr.write(text);
  });
  child.on('error', ({ message }) => (demo.ended = { code: message, signal: null, at: performance.now() }));
  // `close` comes when all output was read, too late to measure; `exit` may come before the last of it.
  let at;
  child.on('exit', () => (at = performance.now()));
  child.on('close', (code, signal) => (demo.ended ??= { code, signal, at: at ?? performance.now() }));
  return demo;
}

/** A port of loopback on which nothing listens. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// --- the browsers ---

/**
 * Starts a browser by its name, with more `flags` (Chromium) or `preferences` (Firefox). It opens pages, each with
 *
 * - `evaluate(fn, argument)`: runs a function in the page; what goes in and out is JSON
 * - `click(selector)`: a real press, once the element can be pressed
 * - `type(selector, text)`, `choose(selector, value)`: fills an input, picks from a `<select>`
 * - `paste(selector)`: pastes what was copied into an empty input; what it has then
 * - `screenshot(file, { whole })`: what is seen, or the whole page
 * - `problems`: errors that the browser reported of the page
 */
export const BROWSERS = { chromium: startChromium, firefox: startFirefox };

const CHROMIUM_FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

async function startChromium({ flags = [] } = {}) {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: [...CHROMIUM_FLAGS, ...flags] });
  return {
    /** `look`: `{ width, height, dark, phone }` */
    async open(url, look = {}) {
      const { width = 1280, height = 900, dark = false, phone = false } = look;
      const context = await browser.newContext({
        viewport: { width, height },
        colorScheme: dark ? 'dark' : 'light',
        deviceScaleFactor: phone ? 2 : 1,
        isMobile: phone,
        hasTouch: phone,
      });
      const page = await context.newPage();
      const problems = [];
      page.on('pageerror', ({ message }) => problems.push(message));
      page.on('console', (message) => message.type() === 'error' && problems.push(`${message.text()} ${message.location().url}`));
      await page.goto(url);
      return {
        problems,
        evaluate: (fn, argument) => page.evaluate(fn, argument),
        click: (selector) => page.click(selector),
        type: (selector, text) => page.fill(selector, text),
        choose: (selector, value) => page.selectOption(selector, value),
        async paste(selector) {
          await page.fill(selector, '');
          await page.press(selector, 'Control+V');
          return page.inputValue(selector);
        },
        screenshot: (file, { whole = false } = {}) => page.screenshot({ path: file, fullPage: whole }),
        close: () => context.close(),
      };
    },
    stop: () => browser.close(),
  };
}

// playwright drives a Firefox of its own, not the one that people have. That one speaks WebDriver BiDi on a WebSocket,
// and the little that is needed of it is here. Its H.264 comes from the system's libavcodec.
const FIREFOX_PREFERENCES = {
  'network.proxy.type': 0, // no proxy, whatever the desktop says
  'network.captive-portal-service.enabled': false, // and no server is called but the page's own
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,none',
  'datareporting.policy.dataSubmissionEnabled': false,
  'media.gmp-manager.updateEnabled': false,
  'extensions.getAddons.cache.enabled': false,
};

async function startFirefox({ preferences: more = {} } = {}) {
  const profile = await mkdtemp(path.join(tmpdir(), 'h5gate-firefox-'));
  const preferences = Object.entries({ ...FIREFOX_PREFERENCES, ...more }).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`);
  await writeFile(path.join(profile, 'user.js'), preferences.join(''));
  const child = spawn(FIREFOX, ['--headless', '--no-remote', '--remote-debugging-port=0', '--profile', profile], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, HOME: profile },
  });
  let end = null;
  child.on('error', ({ message }) => (end = message));
  child.on('exit', (code, signal) => (end = code ?? signal));
  const said = [];
  createInterface({ input: child.stderr }).on('line', (line) => said.push(line));

  let bidi;
  const stop = async () => {
    try {
      await bidi?.send('browser.close', {}).catch(() => {}); // it may be gone already
      if (bidi) await until('Firefox has ended', () => end !== null, 10_000).catch(() => {});
    } finally {
      bidi?.drop();
      child.kill('SIGKILL'); // one that does not end by itself must not outlive the tests
      await until('Firefox is gone', () => end !== null);
      await rm(profile, { recursive: true, force: true, maxRetries: 5 }); // its children may still be writing
    }
  };

  try {
    const address = await until('Firefox listens', () => {
      if (end !== null) throw new Error(`Firefox ended with ${end}\n${said.join('\n')}`);
      return said.map((line) => /BiDi listening on (ws:\S+)/.exec(line)?.[1]).find(Boolean);
    });
    bidi = await connectBidi(`${address}/session`);
    await bidi.send('session.new', { capabilities: {} });
    await bidi.send('session.subscribe', { events: ['log.entryAdded'] });
  } catch (error) {
    await stop().catch(() => {}); // the first error is the one that tells
    throw error;
  }
  return { open: (url, look) => openInFirefox(bidi, url, look), stop };
}

async function openInFirefox(bidi, url, { width = 1280, height = 900 } = {}) {
  const { context } = await bidi.send('browsingContext.create', { type: 'tab' });
  const problems = [];
  bidi.listeners.push(({ method, params }) => {
    if (method === 'log.entryAdded' && params.level === 'error' && params.source.context === context) problems.push(params.text);
  });
  await bidi.send('browsingContext.setViewport', { context, viewport: { width, height } });
  await bidi.send('browsingContext.navigate', { context, url, wait: 'complete' });

  const call = async (declaration, ...texts) => {
    const { type, result, exceptionDetails } = await bidi.send('script.callFunction', {
      functionDeclaration: declaration,
      arguments: texts.map((value) => ({ type: 'string', value })),
      target: { context },
      awaitPromise: true,
    });
    if (type === 'exception') throw new Error(`in the page: ${exceptionDetails.text}`);
    return result;
  };
  const evaluate = async (fn, argument = null) => {
    const { value } = await call(`async (json) => JSON.stringify(await (${fn})(JSON.parse(json)))`, JSON.stringify(argument));
    return value === undefined ? undefined : JSON.parse(value);
  };

  // What a person waits for: the element is there, can be used, and nothing lies over it.
  const reach = (selector) => until(`${selector} can be pressed`, async () => {
    const found = await call(`(selector) => {
      const element = document.querySelector(selector);
      if (!element || element.matches(':disabled, [aria-disabled="true"]')) return null;
      element.scrollIntoView({ block: 'center', behavior: 'instant' });
      const { x, y, width, height } = element.getBoundingClientRect();
      return element.contains(document.elementFromPoint(x + width / 2, y + height / 2)) ? element : null;
    }`, selector);
    return found.sharedId && { type: 'element', element: { sharedId: found.sharedId } };
  });
  const click = async (selector) => {
    const origin = await reach(selector);
    const actions = [{ type: 'pointerMove', x: 0, y: 0, origin }, { type: 'pointerDown', button: 0 }, { type: 'pointerUp', button: 0 }];
    await bidi.send('input.performActions', { context, actions: [{ type: 'pointer', id: 'mouse', actions }] });
  };

  return {
    problems,
    evaluate,
    click,
    async type(selector, text) {
      await click(selector);
      await evaluate((where) => document.querySelector(where).select(), selector);
      const keys = text === '' ? ['\uE017'] : [...text]; // Delete
      const actions = keys.flatMap((value) => [{ type: 'keyDown', value }, { type: 'keyUp', value }]);
      await bidi.send('input.performActions', { context, actions: [{ type: 'key', id: 'keyboard', actions }] });
    },
    async paste(selector) {
      await this.type(selector, '');
      const [control, v] = ['\uE009', 'v'];
      const actions = [['keyDown', control], ['keyDown', v], ['keyUp', v], ['keyUp', control]].map(([type, value]) => ({ type, value }));
      await bidi.send('input.performActions', { context, actions: [{ type: 'key', id: 'keyboard', actions }] });
      return evaluate((where) => document.querySelector(where).value, selector);
    },
    async choose(selector, value) {
      await reach(selector);
      await evaluate(([where, wanted]) => {
        const select = document.querySelector(where);
        select.value = wanted;
        if (select.value !== wanted) throw new Error(`${where} has no ${wanted}`);
        for (const type of ['input', 'change']) select.dispatchEvent(new Event(type, { bubbles: true }));
      }, [selector, value]);
    },
    async screenshot(file, { whole = false } = {}) {
      const { data } = await bidi.send('browsingContext.captureScreenshot', { context, origin: whole ? 'document' : 'viewport' });
      await writeFile(file, Buffer.from(data, 'base64'));
    },
    close: () => bidi.send('browsingContext.close', { context }),
  };
}

const COMMAND_MS = 30_000;

/** WebDriver BiDi: numbered commands, each with an answer or an error, and events in between. */
async function connectBidi(address) {
  const socket = new WebSocket(address);
  const waiting = new Map();
  const listeners = [];
  let lastId = 0;
  socket.on('message', (text) => {
    const { id, type, result, error, message, ...event } = JSON.parse(text);
    if (type === 'event') return listeners.forEach((listen) => listen(event));
    const asked = waiting.get(id);
    if (type === 'error') asked?.fail(new Error(`${error}: ${message}`));
    else asked?.answer(result);
  });
  socket.on('error', () => {}); // `close` follows
  socket.on('close', () => waiting.forEach(({ fail }) => fail(new Error('Firefox has gone away'))));
  await once(socket, 'open');
  return {
    listeners,
    drop: () => socket.terminate(),
    send(method, params) {
      const id = ++lastId;
      return new Promise((answer, fail) => {
        const timer = setTimeout(() => fail(new Error(`Firefox did not answer to ${method}`)), COMMAND_MS);
        const done = (then) => (value) => {
          clearTimeout(timer);
          waiting.delete(id);
          then(value);
        };
        waiting.set(id, { answer: done(answer), fail: done(fail) });
        if (socket.readyState !== WebSocket.OPEN) return waiting.get(id).fail(new Error('Firefox has gone away'));
        socket.send(JSON.stringify({ id, method, params }));
      });
    },
  };
}
