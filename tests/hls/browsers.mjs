// The page with the player, and two real browsers that open it. The page is at page.test and the media at media.test,
// two sites, as a player's page and a media edge are in the world; any name under .test leads to loopback.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { BROWSERS } from '../browser/demo-gate.mjs';

/** The host of the page. */
export const PAGE = 'page.test';

/** The host of every media URL. */
export const MEDIA = 'media.test';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const FILES = {
  '/player.html': ['text/html; charset=utf-8', here('player.html')],
  '/player.js': ['text/javascript; charset=utf-8', here('player.js')],
  '/hls.min.js': ['text/javascript; charset=utf-8', here('../browser/node_modules/hls.js/dist/hls.min.js')],
};

const NAMES = {
  chromium: { flags: ['--host-resolver-rules=MAP *.test 127.0.0.1', '--autoplay-policy=no-user-gesture-required'] },
  firefox: {
    preferences: {
      'network.dns.localDomains': [PAGE, MEDIA].join(','),
      // Pages play side by side here, so that most are in the background.
      'media.block-autoplay-until-in-foreground': false,
      'media.suspend-background-video.enabled': false,
      'media.suspend-bkgnd-video.enabled': false,
    },
  },
};

/** Serves the page and starts both browsers; `{ open(browser), stop }`, where `browser` is `chromium` or `firefox`. */
export async function startBrowsers() {
  const server = createServer(async (request, response) => {
    const [type, file] = FILES[new URL(request.url, 'http://page').pathname] ?? [];
    if (!type) return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-store' });
    response.end(await readFile(file));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  const running = {};
  const stop = async () => {
    await Promise.all(Object.values(running).map((browser) => browser.stop()));
    server.close();
    server.closeAllConnections();
  };
  try {
    for (const [name, options] of Object.entries(NAMES)) running[name] = await BROWSERS[name](options);
  } catch (error) {
    await stop(); // the first error is the one that tells
    throw error;
  }
  return { stop, open: (browser) => running[browser].open(`http://${PAGE}:${server.address().port}/player.html`) };
}
