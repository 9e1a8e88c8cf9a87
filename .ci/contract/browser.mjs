// Uses the two pages for people as a person would: `node browser.mjs BASE-URL`, on an empty store. In /docs it sends the prefilled examples, from
// sign-up to a transfer; in /queues it looks at the bank's lane as admin. Nothing may be asked of another host, and the console must stay clean.
// Pictures go to $CONTRACT_ARTIFACTS.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const { port } = new URL(process.argv[2]);
// A name that is no loopback's: some pages behave better there than elsewhere.
const base = `http://guichet.test:${port}`;
const pictures = process.env.CONTRACT_ARTIFACTS;
fs.mkdirSync(pictures, { recursive: true });
const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'guichet-chromium-'));
const patience = 20_000;
const faults = [];

const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--disable-dev-shm-usage', '--no-proxy-server', '--host-resolver-rules=MAP guichet.test 127.0.0.1, MAP * ~NOTFOUND',
];

function watch(page) {
  page.on('request', (r) => {
    if (!r.url().startsWith(`${base}/`) && !r.url().startsWith('data:')) faults.push(`asks another host: ${r.url()}`);
  });
  page.on('console', (m) => {
    if (['error', 'warning'].includes(m.type())) faults.push(`console: ${m.text()} (${m.location().url})`);
  });
  page.on('pageerror', (e) => faults.push(`script: ${e.message}`));
  page.on('response', (r) => {
    if (r.status() >= 400) faults.push(`${r.status()} for ${r.request().method()} ${r.url()}`);
  });
  page.on('requestfailed', (r) => {
    if (r.failure()?.errorText !== 'net::ERR_ABORTED') faults.push(`${r.failure()?.errorText}: ${r.url()}`);
  });
}

async function picture(page, name, options = { fullPage: true }) {
  await page.screenshot({ path: path.join(pictures, `${name}.png`), ...options });
}

function expect(what, got, wanted) {
  if (!wanted.includes(got)) throw new Error(`${what}: got ${got}, wanted ${wanted.join(' or ')}`);
  console.log(`  ${what}: ${got}`);
}

// Opens an operation in Swagger UI and sends it as it is prefilled, with the example that is named.
async function tryOut(page, tag, operation, wanted, example) {
  const block = page.locator(`#operations-${tag}-${operation}`);
  await block.locator('.opblock-summary-control').click();
  await block.locator('.opblock-body').waitFor();
  if (!(await block.locator('.execute').count())) await block.locator('.try-out__btn').click();
  if (example) await block.locator('.opblock-section-request-body .examples-select-element').selectOption(example);
  await block.locator('.execute').click();
  const table = block.locator('.live-responses-table');
  await table.waitFor();
  await block.locator('.loading-container').waitFor({ state: 'detached' });
  const status = (await table.locator('tbody .response-col_status').first().innerText()).trim().split(/\s/)[0];
  await block.locator('.execute').evaluate((e) => e.scrollIntoView());
  await picture(page, `docs-${operation}${example ? `-${example}` : ''}`, { fullPage: false });
  expect(`${operation}${example ? ` (${example})` : ''}`, status, wanted);
  const text = await table.locator('.response-col_description pre').first().innerText();
  await block.locator('.btn-clear').click();
  await block.locator('.opblock-summary-control').click();
  return JSON.parse(text);
}

async function authorize(page, token) {
  await page.locator('.auth-wrapper .authorize').first().click();
  await page.locator('#auth-bearer-value').fill(token);
  await picture(page, 'docs-authorize');
  await page.locator('.auth-container', { has: page.locator('#auth-bearer-value') }).locator('button.authorize').click();
  await page.locator('.btn-done').first().click();
}

async function docs(page) {
  await page.goto(`${base}/docs`);
  await page.locator('.opblock').first().waitFor();
  await picture(page, 'docs');
  await tryOut(page, 'identity', 'createUser', ['201'], 'ada');
  await tryOut(page, 'identity', 'createUser', ['201'], 'grace');
  const { token } = await tryOut(page, 'identity', 'createSession', ['201']);
  await authorize(page, token);
  await tryOut(page, 'bank', 'createDeposit', ['200', '202']);
  const transfer = await tryOut(page, 'bank', 'createTransfer', ['200', '202']);
  expect('the transfer', transfer.status, ['succeeded', 'queued', 'running']);
  await tryOut(page, 'bank', 'listEntries', ['200']);
  await tryOut(page, 'bank', 'getBalance', ['200']);
  await tryOut(page, 'trips', 'listTrips', ['200']);
  await tryOut(page, 'events', 'listEvents', ['200']);
  await tryOut(page, 'operations', 'listOperations', ['200']);
}

async function queues(page) {
  await page.goto(`${base}/queues`);
  await page.getByRole('link', { name: 'bank', exact: true }).waitFor();
  await picture(page, 'queues');
  await page.getByRole('link', { name: 'bank', exact: true }).click();
  await page.waitForURL(/\/queues\/queues\/bank/);
  await page.getByText('Completed').first().waitFor();
  await page.reload();
  await page.getByText('Completed').first().waitFor();
  await picture(page, 'queues-bank');
  console.log('  the queue bank is there');
}

async function visit(context, name, use) {
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  watch(page);
  try {
    await use(page);
  } catch (error) {
    faults.push(error.message);
    await picture(page, `${name}-failed`);
  }
  await page.close();
}

const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: flags, viewport: { width: 1280, height: 900 },
  httpCredentials: { username: 'admin', password: process.env.GUICHET_ADMIN_PASSWORD, send: 'unauthorized' },
});
try {
  await visit(context, 'docs', docs);
  await visit(context, 'queues', queues);
} finally {
  await context.close();
  fs.rmSync(profile, { recursive: true, force: true });
}
for (const fault of faults) console.error(`  ${fault}`);
process.exitCode = faults.length ? 1 : 0;
