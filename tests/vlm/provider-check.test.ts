import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import { Session } from '../../lib/inference/session.js';
import { makeNode } from '../../lib/onnx/graph.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import { float32Tensor } from '../../lib/onnx/tensors.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { checkProvider } from '../../lib/vlm/provider-check.js';

// No provider but the processor works wherever the tests run, so the processor stands in for one, and an
// altered graph for one that computes something else.
const golden = (name: string) => fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
afterEach(() => vi.restoreAllMocks());

/** Sessions for webgpu are opened on the processor; their logits or embeddings are scaled by a factor. */
function pretendWebGpu(factor: number): { readonly open: Set<Session> } {
  const load = Session.load.bind(Session);
  const open = new Set<Session>();
  vi.spyOn(Session, 'load').mockImplementation(async (source, options) => {
    const elsewhere = options?.providers?.includes('webgpu') === true;
    const graph = elsewhere && factor !== 1 ? await scaled(source, factor) : undefined;
    const folder = typeof source === 'string' ? dirname(source) : options?.externalDataFolder;
    const session = await (graph === undefined
      ? load(source, { ...options, providers: ['cpu'] })
      : load(graph, { ...options, providers: ['cpu'], ...(folder && { externalDataFolder: folder }) }));
    open.add(session);
    const { dispose } = session;
    session.dispose = () => {
      open.delete(session);
      dispose.call(session);
    };
    return session;
  });
  return { open };
}

async function scaled(source: string | Uint8Array, factor: number): Promise<Uint8Array | undefined> {
  const model = typeof source === 'string' ? await OnnxModel.load(source) : OnnxModel.fromBytes(source);
  const { graph } = model;
  if (!graph.outputNames.includes('logits')) return undefined;
  const producer = graph.producerOf('logits')!;
  producer.output = producer.output.map((name) => (name === 'logits' ? 'right' : name));
  const by = graph.addInitializer(float32Tensor('by', [factor]));
  graph.setNodes([...graph.nodes, makeNode('Mul', ['right', by], ['logits'])]);
  return model.serialize();
}

test.each(['vlm-llava', 'vlm-clip', 'vlm-siglip', 'vlm-classifier/bag.json', 'vlm-classifier/tokens.json'])(
  '%s: four cells are compared with the processor',
  async (name) => {
    const { open } = pretendWebGpu(1);
    const vlm = await loadVlm(golden(name), { providers: ['webgpu'] });
    expect(vlm.providerCheck).toMatchObject({ providers: ['webgpu'], cells: 4 });
    // The stand-in computes the same.
    expect(vlm.providerCheck!.largest).toBeLessThan(1e-6);
    expect(vlm.providerCheck!.bound).toBeGreaterThan(0);
    vlm.dispose();
    expect(open.size).toBe(0);
  },
);

test.each(['vlm-llava', 'vlm-classifier/bag.json'])(
  '%s: a provider that gives other scores is refused and everything is closed',
  async (name) => {
    const { open } = pretendWebGpu(4);
    await expect(loadVlm(golden(name), { providers: ['webgpu'] })).rejects.toMatchObject({
      code: 'PROVIDER_INEXACT',
      message: expect.stringMatching(
        /On webgpu a log-probability of .* away from .* on four cells.*accepted/s,
      ),
    });
    expect(open.size).toBe(0);
  },
);

test('small differences are told, not refused', async () => {
  pretendWebGpu(1.001);
  const vlm = await loadVlm(golden('vlm-llava'), { providers: ['webgpu'] });
  const { largest, bound } = vlm.providerCheck!;
  expect(largest).toBeGreaterThan(1e-5);
  expect(largest).toBeLessThan(bound);
  vlm.dispose();
});

test('the processor is not compared with itself', async () => {
  const load = vi.spyOn(Session, 'load');
  const vlm = await loadVlm(golden('vlm-clip'));
  const once = load.mock.calls.length;
  expect(vlm.providerCheck).toBeUndefined();
  const other = await loadVlm(golden('vlm-clip'));
  expect(load.mock.calls.length).toBe(2 * once);
  const found = await checkProvider(vlm, other, ['cpu'], undefined);
  expect(found.largest).toBe(0);
  vlm.dispose();
  other.dispose();
});
