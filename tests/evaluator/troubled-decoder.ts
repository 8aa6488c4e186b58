import { join } from 'node:path';
import type { EvaluatorProgram } from '../../lib/inference/program.js';
import { Session } from '../../lib/inference/session.js';
import { makeNode } from '../../lib/onnx/graph.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import { DataType, float32Tensor, int64Tensor } from '../../lib/onnx/tensors.js';
import { tinyLlava } from './support.js';

export interface Trouble {
  /** Asks for more memory than an address space has, or fails for another reason. */
  readonly kind: 'memory' | 'failure';
  /** Sequences in one run from which on it happens. Default: never. */
  readonly batch?: number;
  /** Tokens of a sequence after its cache, of which so few or fewer get it into trouble. Default: never. */
  readonly tokens?: number;
}

/** The program on a decoder of the same values that gets into trouble under a condition. */
export async function troubled(program: EvaluatorProgram, trouble: Trouble): Promise<EvaluatorProgram> {
  const folder = join(tinyLlava, 'onnx');
  const model = await OnnxModel.load(join(folder, 'decoder_model_merged.onnx'));
  const { graph } = model;
  const constant = (name: string, value: number) => graph.addInitializer(int64Tensor(name, [value], []));
  const scalar = graph.addInitializer(int64Tensor('trouble/one', [1]));
  const producer = graph.producerOf('logits')!;
  producer.output = producer.output.map((name) => (name === 'logits' ? 'trouble/logits' : name));
  const nodes = [
    makeNode('Shape', ['attention_mask'], ['trouble/shape']),
    makeNode('Gather', ['trouble/shape', constant('trouble/zero', 0)], ['trouble/batch']),
    makeNode('Less', [constant('trouble/most', (trouble.batch ?? 1e9) - 1), 'trouble/batch'], ['trouble/a']),
    makeNode('Shape', ['inputs_embeds'], ['trouble/new']),
    makeNode('Gather', ['trouble/new', constant('trouble/axis', 1)], ['trouble/tokens']),
    makeNode(
      'Less',
      ['trouble/tokens', constant('trouble/fewest', (trouble.tokens ?? 0) + 1)],
      ['trouble/b'],
    ),
    makeNode('Or', ['trouble/a', 'trouble/b'], ['trouble/any']),
    makeNode('Cast', ['trouble/any'], ['trouble/flag'], { attributes: { to: DataType.int64 } }),
    ...(trouble.kind === 'memory'
      ? [
          // 2^50 floats exceed every address space, so that no machine can be talked into providing them.
          makeNode('Mul', ['trouble/flag', constant('trouble/huge', 2 ** 50)], ['trouble/more']),
          makeNode('Add', ['trouble/more', scalar], ['trouble/size']),
          makeNode('ConstantOfShape', ['trouble/size'], ['trouble/zeros']),
          makeNode('Gather', ['trouble/zeros', 'trouble/zero'], ['trouble/nothing']),
        ]
      : [graph.addInitializer(float32Tensor('trouble/values', [0], [1]))].map((values) =>
          makeNode('Gather', [values, 'trouble/flag'], ['trouble/nothing']),
        )),
    makeNode('Add', ['trouble/logits', 'trouble/nothing'], ['logits']),
  ];
  graph.setNodes([...graph.nodes, ...nodes]);
  const { rows: _rows, keep: _keep, ...wiring } = program.wiring;
  const decoder = await Session.load(model.serialize(), { externalDataFolder: folder });
  return { ...program, decoder, wiring };
}
