import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeNode } from '../../lib/onnx/graph.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import type { NodeProto } from '../../lib/onnx/protobuf.js';
import { DataType, dimensions, tensor, tensorValues } from '../../lib/onnx/tensors.js';

/**
 * A copy of a model directory whose products round activations to 8 bits with one scale per tensor, as the
 * `int8` files of published exports do, as files `_int8`. Dispose of it with `remove`.
 */
export async function quantizedCopy(
  directory: string,
  parts: readonly string[],
): Promise<{ directory: string; remove: () => Promise<void> }> {
  const copy = await mkdtemp(join(tmpdir(), 'fsyn-quantized-'));
  await cp(directory, copy, { recursive: true });
  for (const part of parts) {
    const path = join(copy, 'onnx', `${part}.onnx`);
    const model = await OnnxModel.load(path);
    quantizeProducts(model);
    // Large weights stay in the file that they were read from.
    await writeFile(path.replace('.onnx', '_int8.onnx'), model.serialize());
  }
  return { directory: copy, remove: () => rm(copy, { recursive: true }) };
}

function quantizeProducts(model: OnnxModel): void {
  const { graph } = model;
  const nodes = graph.nodes.flatMap((node): NodeProto[] => {
    const [input, weight] = node.input;
    const stored = node.opType === 'MatMul' ? graph.initializers.get(weight) : undefined;
    const values = stored && tensorValues(stored);
    if (stored === undefined || values === undefined) return [node];
    const scale = Math.max(...values.map(Math.abs)) / 127;
    const integers = Int8Array.from(values, (value) => Math.round(value / scale));
    const name = (what: string) => `${node.output[0]}/${what}`;
    graph.addInitializer(tensor(name('weight'), DataType.int8, dimensions(stored), integers));
    return [
      makeNode('DynamicQuantizeLinear', [input], [name('rounded'), name('scale'), name('zero')]),
      makeNode('MatMulInteger', [name('rounded'), name('weight'), name('zero')], [name('integers')]),
      makeNode('Cast', [name('integers')], [name('floats')], { attributes: { to: DataType.float32 } }),
      makeNode('Mul', [name('scale'), graph.addFloat32(name('step'), [scale])], [name('factor')]),
      makeNode('Mul', [name('floats'), name('factor')], [...node.output]),
    ];
  });
  graph.setNodes(nodes);
  graph.prune();
}
