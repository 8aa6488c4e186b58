import { execFile } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../lib/cli/command-line.js';
import { dataset } from '../../lib/cli/dataset.js';
import { packageInfo } from '../../lib/package.js';
import { runCommand } from '../cli/run-command.js';

const { root } = packageInfo();
const pages = ['README.md', 'CONTRIBUTING.md', ...markdownIn('docs'), ...markdownIn('docs/guides')];

interface Block {
  readonly place: string;
  readonly language: string;
  readonly text: string;
  /** Why it cannot run here: `<!-- not run: REASON -->` on the line before. */
  readonly notRun?: string;
}

const blocks = pages.flatMap(blocksOf);
const isProgram = ({ language }: Block) => language === 'js' || language === 'ts';

function markdownIn(folder: string): string[] {
  const files = readdirSync(join(root, folder)).filter((name) => name.endsWith('.md'));
  return files.map((name) => `${folder}/${name}`);
}

function blocksOf(page: string): Block[] {
  const text = readFileSync(join(root, page), 'utf8');
  const found = text.matchAll(/(?:^<!-- not run: (.+) -->\n)?^```(\w*)\n([\s\S]*?)^```$/gm);
  return [...found].map(({ index, 1: notRun, 2: language, 3: code }) => ({
    place: `${page}:${text.slice(0, index).split('\n').length}`,
    language,
    text: code,
    notRun,
  }));
}

/** The command lines of fsyn in a block for a shell, as lists of arguments. */
function commandLines({ text }: Block): string[][] {
  const lines = text.replaceAll(/\\\n\s*/g, ' ').split('\n');
  const commands = lines.flatMap(
    (line) => /^(?:npx )?fsyn (.*?)(?:\s+#\s.*|\s[>|&].*)?$/.exec(line)?.[1] ?? [],
  );
  return commands.map((command) =>
    [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain),
  );
}

/** What blocks that go on from the text before them take for granted. */
const given = `import { writeFileSync } from 'node:fs';
import { decodeImage, loadVlm } from 'fsyn';
import * as games from 'fsyn/interactions';
const model = await loadVlm('my-vlm');
const sample = await model.prepare(await decodeImage('dog.jpg'), 'Is there a dog?');
const value = async (batch) => Float64Array.from({ length: batch.length }, (_, i) => i % 7);
const masks = Uint8Array.from({ length: 400 * 12 }, (_, i) => i < 12 ? 0 : i < 24 ? 1 : (i * 2654435761 >>> 16) & 1);
const values = Float64Array.from({ length: 400 }, (_, i) => masks.subarray(12 * i, 12 * i + 12).reduce((sum, one) => sum + one));
const places = Array.from({ length: 40 }, (_, i) => i);
const game = games.ValueTable.from(new Float64Array([0, 1, 1, 4, 2, 3, 4, 9]));
const sii = games.interactionsSync(game, { index: 'SII', order: 2 });
const signal = new AbortController().signal;
const pair = { image: places.slice(0, 20), text: places.slice(20) };
Object.assign(globalThis, games, { writeFileSync, sample, value, masks, values, sii, signal, ...pair });`;

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fsyn-blocks-'));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/fsyn'), 'junction');
  for (const name of ['ndarray', 'sharp'])
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name), 'junction');
  mkdirSync(join(folder, 'path/to'), { recursive: true });
  const model = join(root, 'bench/models/llava-tiny/model');
  mkdirSync(join(folder, 'models'));
  for (const name of ['path/to/llava-1.5-7b', 'path/to/model', 'models/llava-1.5-7b', 'my-vlm'])
    symlinkSync(model, join(folder, name), 'junction');
  await runCommand(dataset, '--dataset', 'presence', '--limit', '2', '--out', join(folder, 'pictures'));
  const picture = sharp({ create: { width: 60, height: 60, channels: 3, background: '#c03020' } });
  await picture.jpeg().toFile(join(folder, 'dog.jpg'));
  symlinkSync(join(root, 'tests/fixtures/inference/affine.onnx'), join(folder, 'model.onnx'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('code blocks of README and docs', () => {
  it('programs run as they stand, or say why not', { timeout: 120_000 }, async () => {
    // benchmark-from-a-program.test.ts runs its guide and reads what comes out.
    const programs = blocks.filter(
      (block) => isProgram(block) && block.notRun === undefined && !block.place.includes('from-a-program'),
    );
    expect(programs.length).toBeGreaterThanOrEqual(10);
    for (const [i, { text }] of programs.entries()) writeFileSync(join(folder, `block${i}.mjs`), text);
    // One process for all: most of each is loading the library.
    writeFileSync(
      join(folder, 'all.mjs'),
      `${given}
const failures = [];
for (const [name, place] of ${JSON.stringify(programs.map(({ place }, i) => [`./block${i}.mjs`, place]))})
  await import(name).catch((error) => failures.push(place + ': ' + error.stack));
console.error(failures.join('\\n'));
process.exitCode = failures.length;\n`,
    );
    const failure = await promisify(execFile)(process.execPath, ['all.mjs'], { cwd: folder }).then(
      () => '',
      (error) => error.stderr,
    );
    expect(failure).toBe('');
  });

  it('command lines name commands and options that exist', async () => {
    const shells = blocks.filter(({ language }) => ['', 'sh'].includes(language));
    const lines = shells.flatMap((block) =>
      commandLines(block).map((args) => ({ place: block.place, args })),
    );
    expect(lines.length).toBeGreaterThan(20);
    for (const { place, args } of lines) {
      let log = '';
      const io = { out: () => {}, log: (text: string) => (log += text), interactive: false };
      // The help page is asked for as well: commander reads what stands before it and starts nothing.
      const code = await main([...args, '--help'], { ...io, signal: new AbortController().signal });
      expect(code, `${place}: fsyn ${args.join(' ')}: ${log}`).toBe(0);
    }
  });

  it('blocks that are not run say why', () => {
    for (const { place, notRun, language } of blocks.filter(({ notRun }) => notRun !== undefined))
      expect(notRun!.length, `${place} ${language}`).toBeGreaterThan(10);
  });
});
