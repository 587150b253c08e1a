// The pages of a cluster that has been at work: three members, rules that fire, tables and delete requests, a query under way. UI_URL is
// a member that lives; UI_DEAD is the name of one that was killed, UI_TENANT a tenant, UI_SLOW a query that takes its time. See
// integration/ui_test.go.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const store = process.env.UI_URL;
const shots = process.env.SHOTS;
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

let browser, page;
const faults = [];

const open = async (hash) => {
  await page.goto('about:blank');
  await page.goto(`${store}/ui/#/${hash}`);
};

// atBoth opens a page at a wide and a narrow screen, waits for what it must show, and sees that nothing sticks out.
async function atBoth(name, ready) {
  for (const [width, height] of [[1440, 900], [390, 844]]) {
    await page.setViewportSize({ width, height });
    await open(name);
    await ready();
    await page.waitForTimeout(200);
    if (shots) await page.screenshot({ path: `${shots}/cluster-${name}-${width}.png`, fullPage: true });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${name} is ${overflow} pixels too wide at ${width}`);
  }
}

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.setDefaultTimeout(60000);
  page.on('pageerror', (e) => faults.push(e.message));
});

after(async () => {
  await browser?.close();
  assert.deepEqual(faults, [], 'the page failed');
});

test('the ring has three members, and one of them is dead', async () => {
  await atBoth('ring', async () => {
    await page.locator('tbody tr').nth(2).waitFor();
    await page.locator('.state.UNHEALTHY').first().waitFor();
  });
  const rows = await page.locator('tbody tr').allTextContents();
  assert.equal(rows.length, 3);
  assert.equal(rows.filter((r) => r.includes('UNHEALTHY')).length, 1);
  assert.match(rows.find((r) => r.includes(process.env.UI_DEAD)), /UNHEALTHY/);
  for (const r of rows) assert.match(r, /3[0-9]\.\d %/, 'equal members own equal parts');
});

test('rules, and an alert that fires', async () => {
  await atBoth('rules', () => page.locator('.state.firing').first().waitFor());
  await page.getByText('ErrorsInShop').first().waitFor();
  await page.getByText('severity=critical = 50,').waitFor();
  await page.getByText('app:lines:count1m').first().waitFor();
  await page.getByRole('button', { name: 'firing', exact: true }).click();
  assert.equal(await page.getByText('app:lines:count1m').count(), 0, 'only those that fire are left');
});

test('storage: tables and delete requests', async () => {
  await atBoth('storage', async () => {
    await page.locator('tbody tr').first().waitFor();
    await page.getByText(/done by (this|another) member/).waitFor();
  });
  await page.getByText('Chunks in memory').waitFor();
  await page.getByText('{app="shop"} |= "secret"').waitFor();
});

test('tenants and how much of their limits they use', async () => {
  await atBoth('tenants', () => page.locator('meter').first().waitFor());
  await page.getByRole('button', { name: 'All limits' }).first().click();
  await page.getByText('max_query_series').first().waitFor();
});

test('a running query is shown and stopped', async () => {
  const query = process.env.UI_SLOW;
  const begin = Date.now();
  const answer = fetch(`${store}/loki/api/v1/query_range?query=${encodeURIComponent(query)}`, { headers: { 'X-Query-Tags': 'Source=dashboard' } });
  const row = page.locator('tbody tr').filter({ hasText: query }); // a rule may be evaluated at the same time
  await atBoth('queries', () => row.waitFor());
  const text = await row.textContent();
  assert.ok(text.includes('dashboard') && /\d+(\.\d+)? m?s/.test(text), text);
  await row.getByRole('button', { name: 'Stop' }).click();
  const res = await answer;
  assert.equal(res.status, 422, await res.text());
  assert.ok(Date.now() - begin < 50000, 'it ended before its bucket answered');
  await row.waitFor({ state: 'detached' });
});
