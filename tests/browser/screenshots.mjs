// Pictures of the demo's page to look at: each part of it, in light, dark and on a phone.
//
//   npm install && node screenshots.mjs [DIRECTORY]       the default is `screenshots` in the target directory
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { TARGET } from './built.mjs';
import { BROWSERS, startDemo } from './demo-gate.mjs';
import { until } from './until.mjs';

const PHONE = { width: 390, height: 844, phone: true };
const LOOKS = [
  ['light', 'chromium', {}],
  ['dark', 'chromium', { dark: true }],
  ['tablet', 'chromium', { width: 800, height: 1100 }],
  ['phone', 'chromium', PHONE],
  ['phone-dark', 'chromium', { ...PHONE, dark: true }],
  ['firefox', 'firefox', {}],
];

const directory = path.resolve(process.argv[2] ?? path.join(TARGET, 'screenshots'));
await mkdir(directory, { recursive: true });
const demo = await startDemo();
try {
  for (const [name, start] of Object.entries(BROWSERS)) {
    const browser = await start();
    try {
      for (const [look, where, size] of LOOKS) if (where === name) await takeAll(browser, look, size);
    } finally {
      await browser.stop();
    }
  }
} finally {
  await demo.stop();
}
console.log(directory);

async function takeAll(browser, look, size) {
  const page = await browser.open(demo.url, size);
  const take = async (name, section) => {
    // The head stays at the top of what is seen: a whole page is taken from there.
    await page.evaluate((id) => {
      if (id) document.getElementById(id).scrollIntoView({ behavior: 'instant' });
      else scrollTo({ top: 0, behavior: 'instant' });
    }, section ?? null);
    await page.screenshot(path.join(directory, `${look}-${name}.png`), { whole: !section });
  };
  const shows = (what, condition) => until(what, () => page.evaluate(condition));

  await shows('the page is ready', () => document.querySelectorAll('#tiles > li').length > 0);
  await take('1-first');

  await page.click('#start');
  await shows('the picture moves', () => window.demo.video.currentTime > 3);
  await take('2-playing', 'watch');

  await page.click('#configuration-copy');
  await shows('the configuration is shown', () => !document.getElementById('configuration-text').hidden);
  await take('3-configuration', 'configuration');

  await page.choose('#mint-expires', 'custom');
  await page.type('#mint-expires-custom', 'tomorrow');
  await page.click('#mint-submit');
  await shows('the error is shown', () => document.querySelector('#mint-form [aria-invalid]'));
  await take('4-error', 'mint');

  await page.type('#mint-expires-custom', String(Math.floor(Date.now() / 1000) + 3));
  await page.type('#mint-tag', 'customer 7');
  await page.click('#mint-submit');
  await shows('the token is minted', () => window.demo.minted);
  await take('5-minted', 'mint');

  await page.click('#mint-play');
  await shows('the token has expired', () => document.getElementById('token').dataset.token === 'expired');
  await shows('some was played after it', () => window.demo.player.secondsLeft < -3);
  await take('6-expired', 'watch');

  await page.click('#refusals-all');
  await shows('all were tried', () => document.getElementById('refusals-all').getAttribute('aria-disabled') === 'false');
  await take('7-refusals', 'refusals');
  await take('8-events', 'events');
  await take('9-whole');

  await page.click('#reconnect');
  await shows('it is refused', () => window.demo.player.state === 'ended');
  await take('10-refused', 'watch');
  await page.close();
}
