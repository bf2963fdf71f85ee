// The page and the browser. Any name under .test leads to loopback, so that page.test, other.test and media.test are
// sites of their own, as a player's page and a media edge are in the world.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';

const FILES = {
  '/player.html': 'text/html; charset=utf-8',
  '/player.js': 'text/javascript; charset=utf-8',
};

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

const CHROMIUM_FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
  '--host-resolver-rules=MAP *.test 127.0.0.1',
];

export async function startSite() {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://site');
    const type = FILES[pathname];
    if (!type) return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-store' });
    response.end(await readFile(new URL(`.${pathname}`, import.meta.url)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS });

  return {
    /** Opens the player's page on a host such as `page.test`. */
    async open(host) {
      const page = await browser.newPage();
      page.on('pageerror', (error) => console.error(`in the page at ${host}:`, error));
      await page.goto(`http://${host}:${server.address().port}/player.html`);
      return page;
    },
    async stop() {
      await browser.close();
      server.close();
      server.closeAllConnections();
    },
  };
}
