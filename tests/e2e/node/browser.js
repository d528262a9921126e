// Drives a headless Chromium. Argument: {chromium, page} as JSON. Each line of standard input is a JSON array: a method
// of the page's `window.shotline` and its arguments; what it gives is written as a line of JSON to standard output.
'use strict';
const readline = require('node:readline');
const { chromium } = require('playwright-core');

// Nothing but the page is asked for on any network.
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

async function main() {
  const job = JSON.parse(process.argv[2]);
  const browser = await chromium.launch({ executablePath: job.chromium, args: QUIET });
  try {
    const page = await browser.newPage();
    page.on('console', (message) => process.stderr.write(`${message.text()}\n`));
    page.on('pageerror', (error) => process.stderr.write(`${error.stack}\n`));
    await page.goto(job.page);
    for await (const line of readline.createInterface({ input: process.stdin })) {
      const value = await page.evaluate(([method, ...args]) => window.shotline[method](...args), JSON.parse(line));
      process.stdout.write(`${JSON.stringify(value)}\n`);
    }
  } finally {
    await browser.close();
  }
}

main();
