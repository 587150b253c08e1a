// The page of a store that wants a password, as the browser's own prompt asks for it. UI_URL is the store's address; ann, who may read and
// write, has the password in UI_PASSWORD. CHROMIUM is the browser.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const store = process.env.UI_URL;
const ann = { username: 'ann', password: process.env.UI_PASSWORD };
let browser;

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'] });
  const entry = [`${Date.now()}000000`, 'level=info msg="behind a password"'];
  const res = await fetch(store + '/loki/api/v1/push', {
    method: 'POST', headers: { 'Content-Type': 'application/json', Authorization: 'Basic ' + btoa(`${ann.username}:${ann.password}`) },
    body: JSON.stringify({ streams: [{ stream: { app: 'safe' }, values: [entry] }] }),
  });
  assert.equal(res.status, 204, await res.text());
});

after(() => browser?.close());

// pageOf opens the page as somebody; the answer is that of the page itself.
async function pageOf(who, hash) {
  const context = await browser.newContext({ httpCredentials: who });
  const page = await context.newPage();
  page.setDefaultTimeout(60000);
  const answer = await page.goto(`${store}/ui/#/${hash}`);
  return { page, status: answer.status(), challenge: answer.headers()['www-authenticate'] };
}

test('who gives no password, or a wrong one, is asked for it', async () => {
  for (const password of ['', 'wrong']) {
    const { status, challenge } = await pageOf({ ...ann, password }, 'explore');
    assert.equal(status, 401);
    assert.match(challenge, /^Basic realm=/);
  }
});

test('with the password the page searches and tails', async () => {
  const { page, status } = await pageOf(ann, `explore?q=${encodeURIComponent('{app="safe"}')}`);
  assert.equal(status, 200);
  const faults = [];
  page.on('pageerror', (e) => faults.push(e.message));
  page.on('response', (r) => { if (r.status() >= 400 && r.status() !== 404) faults.push(`${r.status()} ${r.url()}`); });
  await page.locator('.row code').getByText('behind a password').first().waitFor();
  await page.reload();
  await page.locator('.row code').getByText('behind a password').first().waitFor();
  assert.deepEqual(faults, []);
});
