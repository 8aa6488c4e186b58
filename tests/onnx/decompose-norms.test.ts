import { float32Tensor } from '../../lib/onnx/tensors.js';
import {
  BATCH,
  describeFused,
  HEADS,
  LENGTH,
  microsoft,
  numbers,
  random,
  SIZE,
  table,
} from './fused-cases.js';
import { int64, node } from './helpers.js';

describeFused('norms, activations and rotations', [
  {
    name: 'SkipSimplifiedLayerNormalization',
    node: node(
      'SkipSimplifiedLayerNormalization',
      ['x', 's', 'g'],
      ['y', '', '', 'sum'],
      { epsilon: { float: 1e-6 } },
      microsoft,
    ),
    feeds: { x: random(BATCH, LENGTH, 64), s: random(BATCH, LENGTH, 64) },
    constants: [float32Tensor('g', numbers(64), [64])],
    outputs: ['y', 'sum'],
    wrt: ['x', 's'],
  },
  {
    name: 'SkipLayerNormalization with bias',
    node: node(
      'SkipLayerNormalization',
      ['x', 's', 'g', 'b', 'bias'],
      ['y', '', '', 'sum'],
      { epsilon: { float: 1e-6 } },
      microsoft,
    ),
    feeds: { x: random(BATCH, LENGTH, 64), s: random(BATCH, LENGTH, 64) },
    constants: ['g', 'b', 'bias'].map((name) => float32Tensor(name, numbers(64), [64])),
    outputs: ['y', 'sum'],
    wrt: ['x'],
  },
  {
    name: 'BiasGelu',
    node: node('BiasGelu', ['x', 'b'], ['y'], {}, microsoft),
    feeds: { x: random(BATCH, 64) },
    constants: [float32Tensor('b', numbers(64), [64])],
    wrt: ['x'],
  },
  {
    name: 'FastGelu with bias',
    node: node('FastGelu', ['x', 'b'], ['y'], {}, microsoft),
    feeds: { x: random(BATCH, 64) },
    constants: [float32Tensor('b', numbers(64), [64])],
    wrt: ['x'],
  },
  {
    name: 'RMSNormalization (opset 23)',
    node: node('RMSNormalization', ['x', 'g'], ['y'], { axis: -1 }),
    feeds: { x: random(BATCH, LENGTH, 64) },
    constants: [float32Tensor('g', numbers(64), [64])],
    wrt: ['x'],
    opset: 23,
  },
  {
    name: 'RotaryEmbedding (opset 23), partial',
    node: node('RotaryEmbedding', ['x', 'c', 's', 'pos'], ['y'], { rotary_embedding_dim: 8 }),
    feeds: {
      x: random(BATCH, HEADS, LENGTH, SIZE),
      pos: int64(
        Array.from({ length: BATCH * LENGTH }, (_, i) => (i * 3) % 7),
        [BATCH, LENGTH],
      ),
    },
    constants: [table('c', Math.cos, 4), table('s', Math.sin, 4)],
    wrt: ['x'],
    opset: 23,
  },
]);
