import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderHtml } from '../../lib/report/html.js';
import { buildReport } from '../../lib/report/report.js';
import { readRecords } from '../../lib/runner/rows.js';
import { writeFixture } from './fixture.js';

/** The distribution's browser; none is downloaded. */
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  existsSync,
);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

describe.skipIf(executablePath === undefined)('the page in Chromium (skipped where there is none)', () => {
  let home: string;
  let address: string;
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];
  const requests: string[] = [];

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'fsyn-page-'));
    await writeFixture(home, { samples: 8 }, 7);
    const html = await renderHtml(
      await buildReport(home, readRecords(home), 'results.jsonl', { resamples: 100 }),
    );
    writeFileSync(join(home, 'report.html'), html);
    address = pathToFileURL(join(home, 'report.html')).href;
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
    page = await browser.newPage();
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => void (message.type() === 'error' && errors.push(message.text())));
    page.on('request', (request) => void (request.url().startsWith('data:') || requests.push(request.url())));
    await page.goto(address);
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(home, { recursive: true, force: true });
  });

  const visible = () =>
    page.evaluate<Readonly<Record<string, string>>[]>(
      `[...document.querySelectorAll('.sample:not([hidden])')].map((one) => ({ id: one.id, ...one.dataset }))`,
    );

  it('combines filters, search and order, and keeps them in the address', async () => {
    await page.selectOption('[data-filter=dataset]', 'choice');
    await page.selectOption('[data-order]', 'disagreement');
    await page.fill('[data-search]', 'SQUARE left');
    const shown = await visible();
    expect(shown).toHaveLength(7);
    expect(new Set(shown.map(({ dataset }) => dataset))).toEqual(new Set(['choice']));
    const spreads = shown.map(({ disagreement }) => Number(disagreement));
    expect(spreads).toEqual([...spreads].sort((a, b) => b - a));
    expect(new Set(spreads).size).toBeGreaterThan(1);
    expect(await page.locator('[data-count]').textContent()).toBe('7 of 14 samples');
    const link = page.url();
    await page.fill('[data-search]', 'nowhere');
    expect(await visible()).toEqual([]);
    await page.goto('about:blank');
    await page.goto(link);
    expect(await visible()).toEqual(shown);
  });

  it('puts wrong answers first', async () => {
    await page.goto('about:blank');
    await page.goto(`${address}#gallery?order=wrong`);
    const outcomes = (await visible()).map(({ outcome }) => outcome);
    expect(outcomes.indexOf('correct')).toBe(2);
    expect(outcomes.lastIndexOf('wrong')).toBe(1);
  });

  it('goes to a sample by its link, whatever was filtered', async () => {
    await page.goto('about:blank');
    await page.goto(`${address}#gallery?words=nowhere`);
    expect(await visible()).toEqual([]);
    await page.goto(`${address}#sample/tiny-a/choice/choice-0003`);
    const target = page.locator('[id="sample/tiny-a/choice/choice-0003"]');
    await expect.poll(() => target.isVisible()).toBe(true);
    await expect
      .poll(() => target.evaluate((one) => Math.abs(one.getBoundingClientRect().top)))
      .toBeLessThan(300);
  });

  it.each([
    [390, 'light'],
    [390, 'dark'],
    [768, 'light'],
    [768, 'dark'],
    [1440, 'light'],
    [1440, 'dark'],
  ] as const)('has no axe finding and no sideways scroll at %i px, %s', async (width, colorScheme) => {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 900 });
    await page.goto('about:blank');
    await page.goto(address);
    // Samples are alike, and axe looks at every word.
    await page.evaluate(
      `document.querySelectorAll('.sample:nth-of-type(n+2)').forEach((one) => one.remove())`,
    );
    // Of what is not drawn yet, axe takes the words to lie over the next section.
    await page.addStyleTag({ content: '.sample { content-visibility: visible !important }' });
    await page.evaluate(axe);
    const found = await page.evaluate<string[]>(
      `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html, any }) => html + any.map((one) => one.message)).slice(0, 3).join(' ')))`,
    );
    expect(found).toEqual([]);
    const wide = await page.evaluate<string[]>(
      `document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('main *')].filter((one) => !one.closest('.scroll') && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 80))`,
    );
    expect(wide).toEqual([]);
  });

  it('asks for nothing beyond itself and reports no errors', () => {
    expect(errors).toEqual([]);
    expect(new Set(requests.map((url) => url.split('#')[0]))).toEqual(new Set([address]));
  });
});
