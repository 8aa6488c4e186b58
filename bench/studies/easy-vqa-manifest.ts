import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The manifest of easy-VQA's published classifier, whose weights and vocabulary lie in `folder`. */
export function easyVqaManifest(folder: string): object {
  const { words, answers } = JSON.parse(readFileSync(join(folder, 'vocab.json'), 'utf8')) as {
    words: Record<string, number>;
    answers: string[];
  };
  return {
    format: 'fsyn-classifier-1',
    name: 'easy-vqa',
    model: resolve(folder, 'easy_vqa.onnx'),
    image: {
      input: 'image',
      layout: 'NHWC',
      height: 64,
      width: 64,
      mean: [0.5, 0.5, 0.5],
      rows: 8,
      columns: 8,
    },
    question: { input: 'bow', encoding: 'bag-of-words', vocabulary: words },
    output: { logits: 'logits', answers },
  };
}
