import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { evaluate, explain } from '../../lib/measure/evaluate.js';
import type { ServerFaults } from '../../lib/serve/faults.js';
import type { ServedDialect } from '../../lib/serve/routes.js';
import { openServed, servedDefaults } from '../../lib/vlm/served/vlm.js';
import type { PreparedSample, RgbImage, Vlm } from '../../lib/vlm/types.js';
import { aQuestion, openTiny, startServer, stopAll } from './serving.js';

let vlm: Vlm;
let question: string;
let picture: RgbImage;

beforeAll(async () => {
  ({ vlm, question, picture } = await aQuestion());
});
afterAll(() => stopAll(vlm));

const start = (dialect: ServedDialect, faults: Partial<ServerFaults> = {}) =>
  startServer(vlm, dialect, faults);

/** Image states of one sample: cells with all words. */
function imageCells(sample: PreparedSample): CellTable {
  const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  const words = table.textState(new Uint8Array(sample.textPlayers.count).fill(1));
  for (let i = 0; i < 20; i++) {
    const present = Uint8Array.from({ length: table.imagePlayers }, (_, p) =>
      (p * 7 + i * 3 + p * i) % 23 < 14 ? 1 : 0,
    );
    table.cell(table.imageState(present), words);
  }
  expect(table.cellCount).toBe(20);
  return table;
}

describe('a served model', () => {
  test.each(['vllm', 'sglang', 'llamacpp', 'ollama', 'openai'] as const)(
    'in the words of %s gives the image-only scores of the native model',
    async (dialect) => {
      const served = await openTiny(await start(dialect));
      expect(served.dialect.name).toBe(dialect);
      const there = await served.prepare(picture, question);
      const here = await vlm.prepare(picture, question);
      expect(there.answer.decision).toBe(here.answer.decision);
      expect(there.answer.text).toBe(here.answer.text);
      const [far, near] = [await there.evaluate(imageCells(there)), await here.evaluate(imageCells(here))];
      // The server runs each cell alone, the native evaluator in batches: float32 in another order.
      for (const [i, score] of far.logProbabilities.entries())
        expect(Math.abs(score - near.logProbabilities[i])).toBeLessThan(1e-5);
      expect(far.logProbabilities.some((score) => score < -0.01)).toBe(true);
    },
  );

  test('deletes absent words and closes the gaps', async () => {
    const server = await start('vllm');
    const there = await (await openTiny(server)).prepare(picture, question);
    const table = new CellTable(there.imagePlayers.count, there.textPlayers.count);
    const whole = table.imageState(new Uint8Array(table.imagePlayers).fill(1));
    const words = question.split(' ');
    expect(there.textPlayers.labels).toEqual(words);
    const present = Uint8Array.from(words, (_, i) => (i === 1 ? 0 : 1));
    table.cell(whole, table.textState(present));
    table.cell(whole, table.textState(new Uint8Array(words.length)));
    const { logProbabilities } = await there.evaluate(table);
    const target = there.answer.tokenIds[there.answer.decisionIndex];
    for (const [i, text] of [words.filter((_, w) => w !== 1).join(' '), '.'].entries()) {
      const { tokens } = await vlm.complete!(picture, text, { maxNewTokens: 1 });
      expect(logProbabilities[i]).toBeCloseTo(tokens[0].logProbabilities[target], 6);
    }
  });

  test('is measured by black-box explainers and refused by white-box ones', async () => {
    const there = await (await openTiny(await start('vllm'), { grid: 4 })).prepare(picture, question);
    expect(there.imagePlayers).toMatchObject({ count: 16, rows: 4, columns: 4 });
    const occlusion = await explain(there, 'occlusion');
    const [result] = await evaluate(there, [occlusion]);
    expect(Number.isFinite(result.synergy.raw.mean)).toBe(true);
    await expect(explain(there, 'attn-lrp')).rejects.toMatchObject({ code: 'UNSUPPORTED_MODEL' });
  });

  test('survives 429s and dropped connections, asks every cell once, and finds kept cells', async () => {
    const clean = await start('vllm');
    const there = await (await openTiny(clean, { concurrency: 2 })).prepare(picture, question);
    const before = clean.requests;
    const kept = new Map<string, Float64Array>();
    const store = {
      find: (program: string, cell: string) => kept.get(`${program} ${cell}`),
      keep: (program: string, cells: readonly string[], scores: Float64Array) => {
        for (const [i, cell] of cells.entries()) kept.set(`${program} ${cell}`, scores.slice(i, i + 1));
      },
    };
    // Stopped in the middle, then again: every distinct cell is one request.
    const table = imageCells(there);
    const controller = new AbortController();
    const stopped = there.evaluate(table, {
      store,
      signal: controller.signal,
      onProgress: (done) => done === 5 && controller.abort(new Error('killed')),
    });
    await expect(stopped).rejects.toThrow('killed');
    const known = kept.size;
    expect(known).toBeGreaterThanOrEqual(5);
    const middle = clean.requests;
    // Another sample, as of another process: this one remembers what it asked.
    const later = await (await openTiny(clean, { concurrency: 2 })).prepare(picture, question);
    const opened = clean.requests;
    const { logProbabilities, found } = await later.evaluate(table, { store });
    expect(found).toBe(known);
    expect(clean.requests - opened).toBe(table.cellCount - known);
    expect((await later.evaluate(table)).logProbabilities).toEqual(logProbabilities);
    expect(clean.requests - opened).toBe(table.cellCount - known);
    expect(middle - before).toBeLessThanOrEqual(table.cellCount);

    const troubled = await start('vllm', { busyEvery: 3, resetEvery: 7 });
    const again = await (await openTiny(troubled)).prepare(picture, question);
    expect((await again.evaluate(table)).logProbabilities).toEqual(logProbabilities);
  });

  test('an address, a dialect, a model or a key that is none is refused before any question', async () => {
    const server = await start('vllm');
    await expect(openServed('served:llava', servedDefaults)).rejects.toThrow(/served:http/);
    await expect(openServed(`served:${server.url}/v1#gpt`, servedDefaults)).rejects.toThrow(
      /no model "gpt"; it has: llava-tiny/,
    );
    await expect(openTiny(server, { dialect: 'sglang' })).rejects.toThrow(/does not answer as sglang/);
    await expect(openTiny(server, { dialect: 'tgi' })).rejects.toThrow(/one of vllm, sglang/);
    await expect(openTiny(server, { apiKeyEnv: 'FSYN_NO_SUCH_KEY' })).rejects.toThrow(/environment variable/);
    await expect(
      (await openTiny(server)).prepare(picture, question, { textMasking: 'remove' }),
    ).rejects.toMatchObject({ code: 'UNSUPPORTED_MODEL' });
    const closed = await start('vllm');
    await closed.close();
    const gone = openServed(`served:${closed.url}/v1#llava-tiny`, { ...servedDefaults, timeout: 1 });
    await expect(gone).rejects.toMatchObject({ code: 'SERVER' });
  }, 120_000);
});
