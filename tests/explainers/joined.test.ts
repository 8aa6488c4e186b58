import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { FsynError } from '../../lib/errors.js';
import { findExplainers } from '../../lib/explainers/registry.js';
import { JoinedChain } from '../../lib/explainers/white-box/joined.js';
import { releaseWhiteBoxSessions, type Target, WhiteBoxChain } from '../../lib/explainers/white-box/model.js';
import type {
  ChainOptions,
  ChainPoint,
  ChainResult,
  LayerMap,
} from '../../lib/explainers/white-box/results.js';
import { Session } from '../../lib/inference/session.js';
import { remember } from '../../lib/lease.js';
import { SplitModel } from '../../lib/onnx/split.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { PreparedSample, Vlm } from '../../lib/vlm/types.js';
import { relativeError, valuesOf } from '../onnx/helpers.js';
import { pattern } from '../vlm/pattern.js';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));
/**
 * The same operators, fused and ordered differently: a few units in the last place of float32 on the scale of
 * a whole gradient.
 */
const TOLERANCE = 2e-5;

const models: Vlm[] = [];
const samples = new Map<string, Promise<PreparedSample>>();

function prepared(name: string, size: [number, number]): Promise<PreparedSample> {
  return remember(samples, name, async () => {
    const vlm = await loadVlm(`${golden}vlm-${name}`);
    models.push(vlm);
    return vlm.prepare(pattern(...size), 'Is there a dog?', { maxNewTokens: 2 });
  });
}

const splits = vi.spyOn(SplitModel, 'load');
const sessions = vi.spyOn(Session, 'load');
beforeEach(() => {
  splits.mockClear();
  sessions.mockClear();
});
afterAll(() => {
  releaseWhiteBoxSessions();
  for (const vlm of models) vlm.dispose();
  vi.restoreAllMocks();
});

/** The same calls where the graphs do not go into one file: they run one after the other. */
async function inParts(
  sample: PreparedSample,
  ...calls: readonly (ChainOptions & ChainPoint)[]
): Promise<ChainResult[]> {
  releaseWhiteBoxSessions();
  const apart = vi.spyOn(JoinedChain, 'load').mockResolvedValue(undefined);
  const chain = WhiteBoxChain.of(sample, 'test');
  const results: ChainResult[] = [];
  for (const options of calls) results.push(await chain.gradients(options));
  apart.mockRestore();
  releaseWhiteBoxSessions();
  expect(splits).toHaveBeenCalled();
  return results;
}

/** A whole map; of the last layer of a decoder the last row, for no other is computed. */
function mapOf({ blocks, tokens, read }: LayerMap, lastRow: boolean): number[] {
  const line = new Float64Array(tokens);
  const rows = lastRow ? [blocks * tokens - 1] : Array.from({ length: blocks * tokens }, (_, row) => row);
  return rows.flatMap((row) => {
    read(row, line);
    return [...line];
  });
}

function compareMaps(ours: readonly LayerMap[], theirs: readonly LayerMap[], decoder: boolean): void {
  expect(ours).toHaveLength(theirs.length);
  for (const [i, layer] of ours.entries()) {
    const lastRow = decoder && i === ours.length - 1;
    const [own, expected] = [mapOf(layer, lastRow), mapOf(theirs[i] as LayerMap, lastRow)];
    expect(relativeError(own, expected), `map ${i}`).toBeLessThan(TOLERANCE);
  }
}

function compare(ours: ChainResult, theirs: ChainResult): void {
  expect(ours.explained).toBeCloseTo(theirs.explained, 4);
  expect(ours.rival).toBe(theirs.rival);
  for (const key of ['embeddings', 'embeddingGradient', 'features', 'featureGradient'] as const) {
    expect(relativeError(ours[key], theirs[key]), key).toBeLessThan(TOLERANCE);
  }
  expect(ours.pixels).toEqual(theirs.pixels);
  compareMaps(ours.decoderMaps, theirs.decoderMaps, true);
  compareMaps(ours.visionMaps, theirs.visionMaps, false);
  for (const part of ['visionValues', 'visionGradients', 'decoderValues', 'decoderGradients'] as const) {
    for (const [name, tensor] of Object.entries(theirs[part])) {
      const own = ours[part][name];
      expect(own?.shape, `${part} ${name}`).toEqual(tensor.shape);
      expect(relativeError(valuesOf(own), valuesOf(tensor)), `${part} ${name}`).toBeLessThan(TOLERANCE);
    }
  }
}

describe.each([
  { name: 'llava', size: [24, 24] as [number, number] },
  { name: 'qwen', size: [40, 60] as [number, number] },
  { name: 'internvl', size: [40, 44] as [number, number] },
])('one session for the graphs of $name', { timeout: 300_000 }, ({ name, size }) => {
  // What shares a graph shares a test, for most of the time goes into building it.
  test.each([
    {
      title: 'gradients, everything asked for',
      calls: [{ mode: 'grad', attentionMaps: true, target: 'contrast' }],
    },
    {
      title: 'AttnLRP with Gamma',
      calls: [{ mode: 'attnlrp', visionGamma: { linear: 1 }, target: 'contrast' }],
    },
    {
      title: 'a given rival, the log-probability, the probability and the logit',
      calls: [
        { mode: 'grad', target: 'contrast', rival: 3 },
        { mode: 'grad', target: 'log-probability' },
        { mode: 'grad', target: 'probability' },
        { mode: 'grad', target: 'logit' },
      ],
    },
  ] as { title: string; calls: ChainOptions[] }[])('$title: what two graphs give', async ({ calls }) => {
    releaseWhiteBoxSessions();
    const sample = await prepared(name, size);
    const chain = WhiteBoxChain.of(sample, 'test');
    const joined: ChainResult[] = [];
    for (const options of calls) joined.push(await chain.gradients(options));
    expect(splits).not.toHaveBeenCalled();
    const apart = await inParts(sample, ...calls);
    for (const [i, result] of joined.entries()) compare(result, apart[i]);
  });

  test('a joined graph that the runtime does not take is given up once', async () => {
    releaseWhiteBoxSessions();
    const sample = await prepared(name, size);
    const run = Session.prototype.run;
    let refused = 0;
    const refusing = vi.spyOn(Session.prototype, 'run').mockImplementation(function (
      this: Session,
      feeds,
      more,
    ) {
      if (!('target_token' in feeds)) return run.call(this, feeds, more);
      refused++;
      return Promise.reject(new FsynError('INFERENCE', 'not this one'));
    });
    const parts = await WhiteBoxChain.of(sample, 'test').gradients({});
    await WhiteBoxChain.of(sample, 'test').gradients({});
    refusing.mockRestore();
    expect(refused).toBe(1);
    releaseWhiteBoxSessions();
    compare(await WhiteBoxChain.of(sample, 'test').gradients({}), parts);
  });

  test('with the image given as features, too', async () => {
    releaseWhiteBoxSessions();
    const sample = await prepared(name, size);
    const options = { target: 'contrast' as Target };
    const { features, rival } = await WhiteBoxChain.of(sample, 'test').gradients(options);
    const point = { ...options, rival, features: features.map((value) => 0.5 * value) };
    const joined = await WhiteBoxChain.of(sample, 'test').gradients(point);
    expect(splits).not.toHaveBeenCalled();
    expect(joined.pixelGradient).toHaveLength(0);
    const [apart] = await inParts(sample, point);
    compare(joined, apart);
  });

  test('sessions are built once and used again', async () => {
    releaseWhiteBoxSessions();
    const sample = await prepared(name, size);
    const names = ['input-x-gradient', 'attn-lrp', 'grad-cam', 'grad-rollout', 'rollout', 'tam'];
    const explain = async () => {
      const results = [];
      for (const explainer of findExplainers(names)) {
        results.push(
          await explainer.attribute({ sample, seed: 1, evaluate: (cells) => sample.evaluate(cells) }),
        );
      }
      return results;
    };
    sessions.mockClear();
    const first = await explain();
    const built = sessions.mock.calls.length;
    expect(built).toBeGreaterThan(0);
    const second = await explain();
    expect(sessions.mock.calls.length).toBe(built);
    expect(second).toEqual(first);
  });

  test('sessions that are released in the middle of an explanation stay until it ends', async () => {
    releaseWhiteBoxSessions();
    const sample = await prepared(name, size);
    const chain = WhiteBoxChain.of(sample, 'test');
    const expected = await chain.gradients({});
    const running = [chain.gradients({}), chain.gradients({ attentionMaps: true })];
    releaseWhiteBoxSessions();
    await Promise.resolve();
    releaseWhiteBoxSessions();
    const results = await Promise.all(running);
    expect(results[0]?.pixelGradient).toEqual(expected.pixelGradient);
    expect(relativeError(results[1]?.pixelGradient ?? [], expected.pixelGradient)).toBeLessThan(TOLERANCE);
  });
});
