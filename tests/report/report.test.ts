import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ndarray from 'ndarray';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { exitCodes, UsageError } from '../../lib/cli/command.js';
import { commandHelp, parseOptions } from '../../lib/cli/program.js';
import { report as command } from '../../lib/cli/report.js';
import { bandedExplainers } from '../../lib/report/charts.js';
import { renderConsole } from '../../lib/report/console.js';
import { renderCsv } from '../../lib/report/csv.js';
import { galleryKey, readGallery } from '../../lib/report/gallery.js';
import { heatPng, overlayPng } from '../../lib/report/heatmap.js';
import { renderHtml } from '../../lib/report/html.js';
import { renderMarkdown } from '../../lib/report/markdown.js';
import { buildReport, type Report } from '../../lib/report/report.js';
import { bySynergy } from '../../lib/report/report-tables.js';
import { readRecords } from '../../lib/runner/rows.js';
import { type FixtureOptions, fixturePicture, writeFixture } from './fixture.js';

// Drawing a page takes a second of an idle core; most tests look at the same one.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

let home: string;
let usual: { folder: string; report: Report; html: string };
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'fsyn-report-'));
  const folder = await folderOf({ samples: 20 });
  const report = await reportOf(folder);
  usual = { folder, report, html: await renderHtml(report) };
});
afterAll(() => rmSync(home, { recursive: true }));

let folders = 0;
async function folderOf(options: Partial<FixtureOptions>, pictures: number | null = 2): Promise<string> {
  const folder = join(home, `run${folders++}`);
  await writeFixture(folder, { samples: 8, ...options }, pictures);
  return folder;
}

async function reportOf(folder: string): Promise<Report> {
  return buildReport(folder, readRecords(folder), 'results.jsonl', { resamples: 100 });
}

async function run(args: readonly string[]): Promise<{ code: number; out: string }> {
  const written: string[] = [];
  const code = await command.run(parseOptions(command, args), {
    out: (text) => void written.push(text),
    log: () => {},
    interactive: false,
    signal: new AbortController().signal,
  });
  return { code, out: written.join('') };
}

/** What a reader sees: the page without style, script, pictures and markup. */
function visibleText(html: string): string {
  return html.replace(/<(style|script)>[\s\S]*?<\/\1>/g, '').replace(/<[^>]*>/g, ' ');
}

describe('HTML report', () => {
  it('is one page that loads nothing', () => {
    const { html } = usual;
    const addresses = html.match(/https?:\/\/[^"' )]+/g) ?? [];
    expect(addresses.filter((address) => !address.startsWith('http://www.w3.org/'))).toEqual([]);
    expect(html).not.toMatch(/<link|<script src|@import|url\((?!data:image\/png;base64,|#)/);
    expect(html.match(/<img[^>]*src="(?!data:image\/png;base64,)/)).toBeNull();
  });

  it('has every chart, unique ids and no number that is none', () => {
    const { html } = usual;
    expect(html.match(/<svg/g)).toHaveLength(6);
    const ids = [...html.matchAll(/\sid="([^"]+)"/g)].map((match) => match[1]);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, target] of html.matchAll(/url\(#([^)]+)\)/g)) expect(ids).toContain(target);
    expect(visibleText(html)).not.toMatch(/NaN|undefined|\bnull\b|Infinity/);
    expect(html).not.toMatch(/="[^"]*NaN/);
  });

  it('gives the answer before anything else', () => {
    const text = visibleText(usual.html);
    const first = text.slice(0, text.indexOf('Models and datasets'));
    expect(first).toContain('The occlusion');
    expect(first).toContain('F_syn passes all its checks here.');
    expect(first).toContain('F_syn puts Oracle above Anti-Oracle');
  });

  it('draws bands that can be told apart, and says whose they are', () => {
    const [{ overall }] = usual.report.models;
    const measured = overall.explainers.filter(({ samples }) => samples > 0);
    const banded = bandedExplainers(overall);
    expect(measured.length).toBeGreaterThan(4);
    const best = bySynergy(measured).find(({ control }) => !control)!;
    expect(banded.toSorted()).toEqual(['random', best.name].toSorted());
    expect(bandedExplainers({ ...overall, explainers: measured.slice(0, 4) })).toHaveLength(4);
    expect(visibleText(usual.html)).toMatch(/95 % bands of the mean for [^.]+ and [^.]+ only\./u);
  });

  it('hangs stars outside their columns, so that numbers stay under each other', () => {
    expect(usual.html).toMatch(/\]<span class="star">&thinsp;\*<\/span><\/td>/u);
    expect(usual.html).not.toMatch(/\] \*<\/td>/u);
  });

  it('warns where the model is mostly wrong', async () => {
    expect(visibleText(usual.html)).not.toContain('as expected');
    const folder = await folderOf({ samples: 4 }, null);
    const path = join(folder, 'results.jsonl');
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll('"correct":true', '"correct":false'));
    const wrong = await reportOf(folder);
    for (const text of [await renderHtml(wrong), renderMarkdown(wrong), renderConsole(wrong)])
      expect(text).toContain('Only 0 % of the answers are as expected');
  });

  it('says on a picture and under it where there is nothing to see, and what is no answer', async () => {
    expect(usual.html).not.toMatch(/no image scores|no text scores|true cause/u);
    const folder = await folderOf({ samples: 4 }, 1);
    const path = join(folder, 'results.jsonl');
    const rows = readFileSync(path, 'utf8').trimEnd().split('\n');
    const blank = rows.map((line) => {
      const row = JSON.parse(line);
      if (row.explainer === 'occlusion') row.attribution.image.fill(0);
      if (row.explainer === 'grad-cam') row.attribution.text.fill(0.5);
      return JSON.stringify(row);
    });
    writeFileSync(path, `${blank.join('\n')}\n`);
    const report = await reportOf(folder);
    const html = await renderHtml(report);
    const figure = (name: string) =>
      html.split('<figure data-explainer="').find((part) => part.startsWith(name))!;
    expect(figure('occlusion')).toContain('<span class="blank">no image scores</span></div>');
    expect(figure('grad-cam')).toContain('<span class="blank">all text scores are equal</span>');
    expect(figure('attn-lrp')).not.toContain('class="blank"');
    for (const text of [visibleText(html), renderMarkdown(report), renderConsole(report)]) {
      expect(text).toContain('The occlusion on 8 of 8 samples');
      expect(text).not.toMatch(/The occlusion (?:is the most faithful|has the largest)/u);
    }
    expect(renderCsv(report)).toContain('tiny-a,*,occlusion,,maps_constant_image,8,,,8,,');
  });

  it('is the same bytes for the same rows, whatever was drawn before', async () => {
    expect(await renderHtml(await reportOf(usual.folder))).toBe(usual.html);
  });

  it('takes several models, failed rows, ties and missing parts', async () => {
    const folder = await folderOf(
      { models: ['a', 'b', 'c'], failEvery: 3, ties: true, shapleyEvery: 0, samples: 5 },
      null,
    );
    rmSync(join(folder, 'timings.jsonl'));
    rmSync(join(folder, 'run.json'));
    const report = await reportOf(folder);
    expect(report.models.map(({ model }) => model)).toEqual(['a', 'b', 'c']);
    expect(report.failedRows).toBe(12);
    const html = await renderHtml(report);
    const text = visibleText(html);
    expect(text).toContain('has no gallery.jsonl');
    expect(text).toContain('No timings.jsonl');
    expect(text).toContain('No row has the index');
    expect(text).toContain('run.json');
    expect(text).toContain('The gradient &lt;graph&gt; did not fit.');
    expect(text).toContain('All models');
    expect(text).not.toMatch(/NaN|undefined|\bnull\b|Infinity/);
  });

  it('never lets text from the rows become markup', async () => {
    const evil = '</style><script>alert(1)</script>';
    const folder = await folderOf({ models: [evil], datasets: [evil], samples: 3 }, 1);
    const html = await renderHtml(await reportOf(folder));
    expect(html).not.toContain('<script>alert');
    const markdown = renderMarkdown(await reportOf(folder));
    expect(markdown).not.toMatch(/(^|[^\\])<script/);
  });
});

describe('gallery', () => {
  it('shrinks pictures and their boxes together', async () => {
    const record = await fixturePicture({ model: 'm', dataset: 'd', sample: 's' });
    expect([record.width, record.height]).toEqual([256, 205]);
    const meta = await sharp(Buffer.from(record.png, 'base64')).metadata();
    expect([meta.width, meta.height, meta.format]).toEqual([256, 205, 'png']);
    expect(record.boxes.slice(0, 4)).toEqual([0, 0, 42.67, 34.17]);
    expect(record.boxes.slice(-4)).toEqual([213.33, 170.83, 256, 205]);
  });

  it('paints scores where their boxes are, and nowhere else', async () => {
    const boxes = Float64Array.of(0, 0, 4, 4, 4, 0, 8, 4);
    const png = await heatPng({ width: 8, height: 8 }, { count: 2, boxes }, [1, -0.5]);
    const { data } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    const pixel = (x: number, y: number) => [...data.subarray(4 * (8 * y + x), 4 * (8 * y + x) + 4)];
    expect(pixel(1, 1)).toEqual([214, 39, 40, 166]);
    expect(pixel(6, 2)).toEqual([31, 119, 180, 83]);
    expect(pixel(3, 6)[3]).toBe(0);
  });

  it('draws scores over a pale grey picture, so that red on a red object can be seen', async () => {
    const red = ndarray(
      new Uint8Array(3 * 8 * 4).map((_, i) => (i % 3 === 0 ? 255 : 0)),
      [4, 8, 3],
    );
    const players = {
      count: 2,
      rows: 1,
      columns: 2,
      tiles: 1,
      boxes: Float64Array.of(0, 0, 4, 4, 4, 0, 8, 4),
    };
    const png = await overlayPng(red, players, Float64Array.of(1, 0));
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    const pixel = (x: number, y: number) => [
      ...data.subarray(3 * (info.width * y + x), 3 * (info.width * y + x) + 3),
    ];
    const scale = info.width / 8;
    // Luma 76.2 of pure red is 166 half way to white; a full score lies over it with 80 %.
    expect(pixel(6 * scale, scale)).toEqual([166, 166, 166]);
    expect(pixel(scale, scale)).toEqual([204, 64, 65]);
  });

  it('shows every picture once in its own colours, grey and pale under scores', () => {
    const samples = usual.html.match(/<section class="sample"/gu)!.length;
    expect(usual.html.match(/<div class="shot own /gu)).toHaveLength(samples);
    expect(
      usual.html.match(/background-image:linear-gradient\(#ffffff80,#ffffff80\),url\(data:/gu),
    ).toHaveLength(samples);
    expect(usual.html).toMatch(/\.shot \{\s*background-blend-mode: normal, luminosity/u);
  });

  it('shows every explainer of a pictured sample', () => {
    const { report, html } = usual;
    expect(report.gallery).toHaveLength(4);
    expect(report.gallery[0].views.map((view) => view.explainer)).toHaveLength(6);
    expect(html.match(/<figure data-explainer/g)).toHaveLength(24);
    expect(html.match(/<section class="sample"/g)).toHaveLength(4);
  });

  it('refuses lines that are not pictures, by name, but not a torn last one', async () => {
    const folder = await folderOf({ samples: 2 }, 1);
    const path = join(folder, 'gallery.jsonl');
    const good = readFileSync(path, 'utf8');
    writeFileSync(path, `${good}{"schema":1,"mod`);
    expect((await readGallery(folder)).size).toBe(2);
    writeFileSync(path, `{"schema":1,"mod\n${good}`);
    await expect(readGallery(folder)).rejects.toThrow(/gallery\.jsonl:1 is not JSON/);
    writeFileSync(path, `${good}{"schema":2}\n`);
    await expect(readGallery(folder)).rejects.toThrow(/gallery\.jsonl:3 has gallery version 2, expected 1/);
    const first = JSON.parse(good.split('\n')[0]) as Record<string, unknown>;
    writeFileSync(path, `${JSON.stringify({ ...first, png: '</style>' })}\n`);
    await expect(readGallery(folder)).rejects.toThrow(/gallery\.jsonl:1 is not a complete gallery line/);
  });

  it('refuses a picture whose players are not those of the rows', async () => {
    const folder = await folderOf({ samples: 2 }, 1);
    const path = join(folder, 'gallery.jsonl');
    const picture = JSON.parse(readFileSync(path, 'utf8').split('\n')[0]) as { boxes: number[] };
    writeFileSync(path, `${JSON.stringify({ ...picture, boxes: picture.boxes.slice(4) })}\n`);
    await expect(reportOf(folder)).rejects.toThrow(/results\.jsonl:1 scores 36 image .* 35 boxes/);
  });

  it('finds pictures by model, dataset and sample', () => {
    const key = galleryKey({ model: 'a', dataset: 'b","c', sample: 'd' });
    expect(key).not.toBe(galleryKey({ model: 'a', dataset: 'b', sample: 'c","d' }));
  });
});

describe('other formats', () => {
  it('Markdown has the answers and well-formed tables', async () => {
    const markdown = renderMarkdown(await reportOf(await folderOf({ failEvery: 4 })));
    expect(markdown).toContain('## Models and datasets');
    const columns = (line: string) => line.replaceAll('\\|', '').split('|').length;
    for (const block of markdown.split('\n\n').filter((part) => part.startsWith('|'))) {
      expect(new Set(block.trim().split('\n').map(columns)).size).toBe(1);
    }
    expect(markdown).not.toMatch(/NaN|undefined|\bnull\b/);
  });

  it('CSV has the same numbers in full, one per line', async () => {
    const { report } = usual;
    const lines = renderCsv(report).trimEnd().split('\r\n');
    expect(lines[0]).toBe('model,dataset,subject,other,statistic,estimate,low,high,n,p,p_holm');
    for (const line of lines) expect(line.split(',')).toHaveLength(11);
    const mean = report.models[0].overall.explainers[3].means.raw;
    expect(lines).toContain(`tiny-a,*,occlusion,,mean_raw,${mean.estimate},${mean.low},${mean.high},40,,`);
    expect(lines.filter((line) => line.startsWith('tiny-a,choice,'))).not.toHaveLength(0);
    expect(renderCsv(report)).not.toMatch(/NaN|undefined/);
  });
});

describe('fsyn report', () => {
  it('writes the formats asked for and prints the answer', async () => {
    const folder = await folderOf({ samples: 6 });
    const { code, out } = await run([folder, '--resamples', '100']);
    expect(code).toBe(exitCodes.ok);
    expect(out).toContain('ranks visual/textual/joint');
    expect(out).not.toMatch(/NaN|undefined/);
    expect(out).toContain(`report in ${join(folder, 'report.html')}`);
    expect(readFileSync(join(folder, 'report.html'), 'utf8')).toMatch(/^<!doctype html>/);
    const elsewhere = join(home, 'made', 'page.html');
    await run([folder, '--format', 'md,csv', '--out', elsewhere, '--resamples', '100']);
    for (const format of ['md', 'csv'])
      expect(readFileSync(join(home, 'made', `page.${format}`), 'utf8')).not.toBe('');
  });

  it('names what is wrong on the command line', async () => {
    expect(() => parseOptions(command, [])).toThrow(/one RESULTS but received none/);
    expect(() => parseOptions(command, ['a', 'b'])).toThrow(UsageError);
    await expect(run(['somewhere', '--format', 'pdf'])).rejects.toThrow(/html, md, csv for --format/);
    expect(commandHelp(command)).toContain('report [options] RESULTS');
  });

  it('names file and line of rows that it cannot use', async () => {
    await expect(run([join(home, 'nowhere')])).rejects.toThrow(/There is no folder ".*nowhere"/);
    await expect(run([home])).rejects.toThrow(/results\.jsonl is missing/);
    const folder = await folderOf({ samples: 2 });
    const path = join(folder, 'results.jsonl');
    const good = readFileSync(path, 'utf8');
    const [first, ...rest] = good.split('\n');
    writeFileSync(path, [first, first.replace('"schema":1', '"schema":7'), ...rest].join('\n'));
    await expect(run([folder])).rejects.toThrow(/results\.jsonl:2 has result version 7, expected 1/);
    writeFileSync(path, `${first}\nnot json\n`);
    await expect(run([folder])).rejects.toThrow(/results\.jsonl:2 is not JSON/);
    writeFileSync(path, '');
    await expect(run([folder])).rejects.toThrow(/holds no rows/);
  });
});
