import { createHash } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { attnLrp } from '../../lib/explainers/attn-lrp.js';
import { releaseWhiteBoxSessions } from '../../lib/explainers/white-box/sessions.js';
import { externalRange } from '../../lib/onnx/model.js';
import { parseModel, serializeModel, type TensorProto } from '../../lib/onnx/protobuf.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { pattern } from './pattern.js';

const llava = fileURLToPath(new URL('../../bench/models/llava-tiny/model', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'fsyn-linked-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Moves larger weights of a model into a file beside it, as exports above 2 GB have them. */
function moveWeightsOut(path: string, data: string): void {
  const model = parseModel(readFileSync(path));
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const tensor of model.graph!.initializer) {
    if (tensor.rawData.length < 1024) continue;
    parts.push(tensor.rawData);
    tensor.externalData = externalRange(data, offset, tensor.rawData.length);
    tensor.dataLocation = 1;
    offset += tensor.rawData.length;
    delete (tensor as Partial<TensorProto>).rawData;
  }
  writeFileSync(join(dirname(path), data), Buffer.concat(parts));
  writeFileSync(path, serializeModel(model));
}

/** The directory as huggingface_hub keeps it: every file a link into one folder of contents. */
function asCache(directory: string): string {
  const snapshot = join(root, 'snapshots', 'abc');
  const blobs = join(root, 'blobs');
  mkdirSync(blobs);
  for (const file of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const source = join(file.parentPath, file.name);
    const link = join(snapshot, relative(directory, source));
    const blob = join(blobs, createHash('sha256').update(readFileSync(source)).digest('hex'));
    cpSync(source, blob);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(relative(dirname(link), blob), link);
  }
  return snapshot;
}

it('a directory of the Hugging Face cache, weights in files of their own, is read like the files themselves', async () => {
  const plain = join(root, 'plain');
  cpSync(llava, plain, { recursive: true });
  for (const part of ['decoder_model_merged', 'vision_encoder', 'embed_tokens'])
    moveWeightsOut(join(plain, 'onnx', `${part}.onnx`), `${part}.onnx_data`);
  const scores: Float64Array[] = [];
  const maps: Float64Array[] = [];
  const prints: string[] = [];
  for (const directory of [plain, asCache(plain)]) {
    const vlm = await loadVlm(directory);
    const sample = await vlm.prepare(pattern(64, 64), 'Is there a red circle?');
    const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
    for (const first of [0, 1]) {
      const image = new Uint8Array(table.imagePlayers).fill(1);
      image[0] = first;
      table.cell(table.imageState(image), table.textState(new Uint8Array(table.textPlayers).fill(1)));
    }
    scores.push((await sample.evaluate(table)).logProbabilities);
    const attribution = await attnLrp().attribute({ sample } as never);
    maps.push(attribution.image, attribution.text);
    prints.push(vlm.fingerprint);
    await releaseWhiteBoxSessions();
    vlm.dispose();
  }
  expect(scores[1]).toEqual(scores[0]);
  expect(scores[0][1]).not.toBe(scores[0][0]);
  expect(maps.slice(2)).toEqual(maps.slice(0, 2));
  expect(prints[1]).toBe(prints[0]);
});
