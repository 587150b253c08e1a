// The page in a real browser against a real store. UI_URL is the store's address; it is empty when the test begins.
// CHROMIUM is the browser; SHOTS, if set, a folder for screenshots of each page.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const store = process.env.UI_URL;
const shots = process.env.SHOTS;
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

let browser, page;
const faults = [];

async function push(streams) {
  const res = await fetch(store + '/loki/api/v1/push', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ streams }) });
  assert.equal(res.status, 204, await res.text());
}

const nano = (ms, i = 0) => `${Math.round(ms)}${String(i).padStart(6, '0')}`;

// lines makes n lines over the last span milliseconds, every tenth an error.
function lines(app, n, span) {
  const now = Date.now() - 2000;
  return {
    stream: { app, env: 'test' },
    values: Array.from({ length: n }, (_, i) => [nano(now - span + (span * i) / n, i % 1000), JSON.stringify({ level: i % 10 ? 'info' : 'error', msg: `line ${i} of ${app}`, user: `u${i % 7}`, took: i % 90 })]),
  };
}

const open = async (hash) => {
  await page.goto('about:blank');
  await page.goto(`${store}/ui/#/${hash}`);
};
const q = (query, rest = '') => `explore?q=${encodeURIComponent(query)}${rest}`;
const shot = async (name) => { if (shots) await page.screenshot({ path: `${shots}/${name}.png` }); };

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.setDefaultTimeout(60000);
  page.on('pageerror', (e) => faults.push(e.message));
  page.on('request', (r) => { if (!r.url().startsWith(store) && !/^(data|about|blob):/.test(r.url())) faults.push('asked another host: ' + r.url()); });
  await push([lines('shop', 400, 3000e3), lines('mail', 100, 3000e3)]);
  await push([{ stream: { app: 'big' }, values: lines('big', 5000, 1500e3).values }]);
});

after(async () => {
  await browser?.close();
  assert.deepEqual(faults, [], 'the page failed, or asked another host');
});

test('search from the query bar', async () => {
  await open('explore');
  await page.locator('.welcome').waitFor();
  await shot('welcome');
  await page.locator('.cm-content').click();
  await page.keyboard.insertText('{app="shop"} | json | level="error"');
  await page.keyboard.press('Enter');
  await page.getByText('40 lines in').waitFor();
  assert.match(page.url(), /q=/);
  const first = await page.locator('.row code').first().textContent();
  assert.match(first, /"level":"error"/);
  await shot('search');
});

test('completion offers labels, values and functions', async () => {
  await open('explore');
  await page.locator('.cm-content').click();
  await page.keyboard.type('{ap');
  await page.locator('.cm-tooltip-autocomplete').getByText('app', { exact: true }).first().waitFor();
  await page.waitForTimeout(300); // a list that has just come takes no key, so that nobody picks by accident
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('.cm-content').textContent.startsWith('{app="'));
  await page.keyboard.press('Control+Space');
  await page.locator('.cm-tooltip-autocomplete').getByText('shop').waitFor();
  await open('explore?again=1');
  await page.locator('.cm-content').click();
  await page.keyboard.type('count_o');
  await page.locator('.cm-tooltip-autocomplete').getByText('count_over_time').waitFor();
});

test('a click on a label of a line filters', async () => {
  await open(q('{env="test"} | json'));
  await page.locator('.row').first().waitFor();
  await page.locator('.row .mark').first().click();
  await page.locator('.details').getByText('Parsed fields').waitFor();
  await shot('details');
  await page.getByRole('button', { name: 'Filter app=', exact: false }).first().click();
  await page.waitForURL(/app%3D/);
  const text = await page.locator('.cm-content').textContent();
  assert.match(text, /env="test", app="(shop|mail)"/);
});

test('the label browser filters', async () => {
  await open('explore');
  await page.locator('aside').getByRole('button', { name: 'app', exact: true }).click();
  await page.locator('aside').getByRole('button', { name: 'mail', exact: true }).click();
  await page.getByText('100 lines in').waitFor();
  assert.equal(await page.locator('.cm-content').textContent(), '{app="mail"}');
});

test('dragging over the histogram zooms', async () => {
  await open(q('{app="shop"}'));
  await page.getByText('400 lines in').waitFor();
  const plot = await page.locator('.histogram .u-over').boundingBox();
  await page.mouse.move(plot.x + plot.width * 0.5, plot.y + 20);
  await page.mouse.down();
  await page.mouse.move(plot.x + plot.width * 0.75, plot.y + 20, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL(/from=\d+/);
  await page.waitForFunction(() => /^\d+ lines/.test(document.querySelector('.summary')?.textContent ?? '') && !document.querySelector('.summary').textContent.startsWith('400 '));
  const n = Number(/^(\d+)/.exec(await page.locator('.summary').textContent())[1]);
  assert.ok(n > 50 && n < 200, `a quarter of the hour has ${n} lines`);
});

test('an error shows where it is and what was meant', async () => {
  await open(q('{app="shop"} | jsn'));
  const text = await page.getByRole('alert').textContent();
  assert.match(text, /parse error/);
  assert.match(text, /json/);
  await page.locator('.cm-lintRange-error').waitFor();
  await shot('error');
});

test('a reload shows the same', async () => {
  await open(q('sum by (app) (count_over_time({env="test"}[5m]))', '&from=now-3h'));
  await page.getByText('2 series in').waitFor();
  await shot('metric');
  await page.reload();
  await page.getByText('2 series in').waitFor();
  assert.equal(await page.locator('.cm-content').textContent(), 'sum by (app) (count_over_time({env="test"}[5m]))');
  assert.match(await page.locator('.timerange button').first().textContent(), /3 hours/);
});

test('5,000 lines scroll with few rows in the document', async () => {
  await open(q('{app="big"}', '&limit=5000'));
  await page.getByText('5,000 lines in').waitFor();
  const rows = () => page.locator('.row').count();
  assert.ok(await rows() < 120, `${await rows()} rows are in the document`);
  await page.locator('.virtual').evaluate((el) => { el.scrollTop = el.scrollHeight; });
  await page.getByText('line 0 of big').waitFor();
  assert.ok(await rows() < 120);
});

test('the lines around a line', async () => {
  await open(q('{app="shop"} |= "line 200 of"'));
  await page.locator('.row .mark').first().click();
  await page.getByRole('button', { name: 'Context' }).click();
  await page.getByText('line 201 of shop').waitFor();
  await page.getByText('line 199 of shop').first().waitFor();
  assert.match(await page.locator('.row.marked code').first().textContent(), /line 200 of/);
});

test('live tail shows what comes in, and pauses', async () => {
  await open(q('{app="live"}'));
  await page.getByRole('button', { name: /Live/ }).click();
  await page.locator('.pulse.live').waitFor();
  await push([{ stream: { app: 'live' }, values: [[nano(Date.now()), 'the first']] }]);
  await page.getByText('the first').waitFor();
  await page.getByRole('button', { name: 'Pause' }).click();
  await push([{ stream: { app: 'live' }, values: [[nano(Date.now()), 'the second']] }]);
  await page.waitForTimeout(500);
  assert.equal(await page.getByText('the second').count(), 0);
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.getByText('the second').waitFor();
  await shot('tail');
  await page.getByRole('button', { name: /Stop/ }).click();
});

test('fields, patterns, statistics and history', async () => {
  await open(q('{app="shop"}', '&tab=fields'));
  await page.locator('table').getByText('took').first().waitFor();
  for (const tab of ['patterns', 'stats', 'history']) {
    await page.locator('.tabs').getByRole('button', { name: tab }).click();
    await page.waitForURL(new RegExp(`tab=${tab}`));
  }
  await page.locator('.history').getByText('{app="shop"}').first().waitFor();
});

test('a column of a parsed field', async () => {
  await open(q('{app="shop"} | json'));
  await page.getByLabel('Add a column').selectOption('user');
  assert.match(await page.locator('.cell').first().textContent(), /^u\d$/);
  await page.getByTitle('Remove this column').click();
});

test('JSON is shown indented, and the link of a line leads back to it', async () => {
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await open(q('{app="shop"} |= "line 300 of"'));
  await page.locator('.row .mark').first().click();
  assert.match(await page.locator('pre.json').textContent(), /^\{\n  "level": "error",\n/);
  await page.getByRole('button', { name: 'Copy line' }).click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /"msg":"line 300 of shop"/);
  await page.getByRole('button', { name: 'Copy link' }).click();
  await page.getByText('Link copied').waitFor();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(link.startsWith(store + '/ui/'), link);
  await page.goto('about:blank');
  await page.goto(link);
  assert.match(await page.locator('.row.marked code').first().textContent(), /line 300 of shop/);
});

test('lines are downloaded as text, JSON and CSV', async () => {
  await open(q('{app="mail"} | json'));
  await page.getByText('100 lines in').waitFor();
  await page.getByLabel('Add a column').selectOption('user');
  const get = async (kind) => {
    const wait = page.waitForEvent('download');
    await page.getByLabel('Download').selectOption(kind);
    const file = await (await wait).createReadStream();
    let text = '';
    for await (const piece of file) text += piece;
    return text.trimEnd().split('\n');
  };
  const text = await get('txt');
  assert.equal(text.length, 100);
  assert.match(text[0], /^\d{4}-\d\d-\d\dT[\d:.]+Z \{"level":/);
  const docs = (await get('jsonl')).map((l) => JSON.parse(l));
  assert.equal(docs.length, 100);
  assert.equal(docs[0].labels.app, 'mail');
  assert.match(docs[0].timestamp, /^\d{19}$/);
  const csv = await get('csv');
  assert.equal(csv[0], 'time,user,line');
  assert.equal(csv.length, 101);
  await page.getByTitle('Remove this column').click();
});

test('by keyboard alone', async () => {
  await open('explore');
  await page.locator('.welcome').waitFor();
  await page.keyboard.press('/');
  await page.keyboard.insertText('{app="shop"}');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.insertText('|= "line 7 of"');
  await page.keyboard.press('Control+Enter');
  await page.getByText('1 line in').waitFor();
  await page.locator('.row .mark').first().focus();
  await page.keyboard.press('Enter');
  await page.locator('.details').waitFor();
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('.details').count(), 0);
});

test('pages of the process, wide and narrow', async () => {
  for (const width of [1440, 390]) {
    await page.setViewportSize({ width, height: width === 390 ? 844 : 900 });
    for (const [name, title] of Object.entries({ ring: 'Members of the ring', tenants: 'Tenants and their limits', queries: 'Running queries', rules: 'Rules and alerts', storage: 'Storage' })) {
      await open(name);
      await page.getByRole('heading', { name: title }).waitFor();
      await page.waitForTimeout(300);
      await shot(`${name}-${width}`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${name} is ${overflow} pixels too wide at ${width}`);
    }
    await open(q('{app="shop"} | json'));
    await page.locator('.row').first().waitFor();
    await shot(`logs-${width}`);
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await open('ring');
  await page.locator('.state.ACTIVE').first().waitFor();
});

test('dark and light', async () => {
  await open('explore');
  // The page is painted before the theme is set.
  const themed = async (theme) => page.waitForFunction((t) => document.documentElement.dataset.theme === t, theme);
  await page.getByTitle('Colours').click();
  await themed('dark');
  await shot('dark');
  await page.getByTitle('Colours').click();
  await themed('light');
});
