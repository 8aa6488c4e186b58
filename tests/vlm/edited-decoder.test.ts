import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { Session } from '../../lib/inference/session.js';
import { makeNode } from '../../lib/onnx/graph.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import { float32Tensor } from '../../lib/onnx/tensors.js';
import { openDecoder } from '../../lib/vlm/decoder/edit-trial.js';
import { type EditedDecoder, editDecoder } from '../../lib/vlm/decoder/file.js';
import { EmbedGraph } from '../../lib/vlm/decoder/graphs.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { pattern } from './pattern.js';

const directory = fileURLToPath(new URL('../golden/vlm-llava', import.meta.url));
const folder = join(directory, 'onnx');
let embed: EmbedGraph;
let file: OnnxModel;
let edited: EditedDecoder;
beforeAll(async () => {
  const path = join(folder, 'embed_tokens.onnx');
  embed = new EmbedGraph({ session: await Session.load(path), path });
  file = await OnnxModel.load(join(folder, 'decoder_model_merged.onnx'));
  edited = await editDecoder(file);
});
afterAll(() => embed.graph.session.dispose());

/** The edited graph with its logits scaled by a little more than rounding. */
function altered(factor: number): EditedDecoder {
  const model = edited.model.clone();
  const { graph } = model;
  const producer = graph.producerOf('logits')!;
  producer.output = producer.output.map((name) => (name === 'logits' ? 'right' : name));
  const scale = graph.addInitializer(float32Tensor('factor', [factor]));
  graph.setNodes([...graph.nodes, makeNode('Mul', ['right', scale], ['logits'])]);
  return { ...edited, model };
}

test('a decoder that computes wanted rows only is believed when it gives the logits of its file', async () => {
  const { decoder, fallbacks } = await openDecoder(file, edited, embed, 64, {});
  expect(fallbacks).toEqual([]);
  expect(decoder.wiring.rows).toBeDefined();
  decoder.graph.session.dispose();
});

test('one that does not is closed, and the file itself is run', async () => {
  const { decoder, fallbacks } = await openDecoder(file, altered(1.001), embed, 64, {});
  expect(fallbacks).toMatchObject([
    { code: 'all-rows', reason: expect.stringMatching(/all rows are computed/) },
  ]);
  expect(decoder.wiring.rows).toBeUndefined();
  decoder.graph.session.dispose();
});

/** A copy of the model whose decoder forgets half of what its cache holds. */
async function forgetful(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'fsyn-forgetful-'));
  await cp(directory, copy, { recursive: true });
  const model = await OnnxModel.load(join(copy, 'onnx/decoder_model_merged.onnx'));
  const { graph } = model;
  const half = graph.addInitializer(float32Tensor('half', [0.5]));
  const names = graph.inputNames.filter((name) => /^past_key_values.*value$/.test(name));
  const nodes = names.map((name) => {
    graph.replaceUses(name, `${name}/half`);
    return makeNode('Mul', [name, half], [`${name}/half`]);
  });
  graph.setNodes([...nodes, ...graph.nodes]);
  await writeFile(join(copy, 'onnx/decoder_model_merged_fp16.onnx'), model.serialize());
  return copy;
}

test('a cache that whole passes do not agree with is not continued', async () => {
  const question = 'Is there a red circle?';
  const copy = await forgetful();
  const right = await loadVlm(copy);
  const wrong = await loadVlm(copy, { dtype: { decoder_model_merged: 'fp16' } });
  const expected = await right.prepare(pattern(56, 56), question, { maxNewTokens: 6 });
  const sample = await wrong.prepare(pattern(56, 56), question, { maxNewTokens: 6 });
  expect([...sample.answer.tokenIds]).toEqual([...expected.answer.tokenIds]);
  const cells = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  const all = (players: number) => new Uint8Array(players).fill(1);
  cells.cell(cells.imageState(all(cells.imagePlayers)), cells.textState(all(cells.textPlayers)));
  const codes = async (prepared: typeof sample) =>
    (await prepared.plan!(cells)).fallbacks.map(({ code }) => code);
  expect(await codes(expected)).toEqual([]);
  expect(await codes(sample)).toEqual(['answer-without-cache', 'prefix-not-causal']);
  right.dispose();
  wrong.dispose();
  await rm(copy, { recursive: true });
});
