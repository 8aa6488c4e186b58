// Writes easy-VQA's published classifier and test questions as fsyn reads them, with ground truth: the box of
// what differs from the background, and the words that name shape, colour or a negation.
//
//   node dist/bench/studies/easy-vqa.js EASY_VQA_FOLDER OUT
//
// EASY_VQA_FOLDER holds easy_vqa.onnx, vocab.json ({words, answers}), questions.jsonl ({question, answer,
// image}) and the pictures: weights and test split of https://github.com/vzhou842/easy-VQA (MIT).
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import type { RgbImage } from '../../lib/vlm/types.js';
import { easyVqaManifest } from './easy-vqa-manifest.js';

const [from, out] = process.argv.slice(2);
if (from === undefined || out === undefined) throw new Error('Expected EASY_VQA_FOLDER OUT.');
mkdirSync(out, { recursive: true });
writeFileSync(join(out, 'easy-vqa.json'), `${JSON.stringify(easyVqaManifest(from), null, 2)}\n`);

const boxes = new Map<string, [number, number, number, number]>();
const lines = readFileSync(join(from, 'questions.jsonl'), 'utf8').trim().split('\n');
const rows: string[] = [];
for (const line of lines) {
  const { question, answer, image } = JSON.parse(line) as Record<'question' | 'answer' | 'image', string>;
  const path = resolve(from, image);
  const box = boxes.get(path) ?? shapeBox(await decodeImage(path));
  boxes.set(path, box);
  const truth = { boxes: [box], words: decisiveWords(question) };
  rows.push(JSON.stringify({ image: path, question, answer, grounding: 'grounded', truth }));
}
writeFileSync(join(out, 'easy-vqa.jsonl'), `${rows.join('\n')}\n`);
console.log(`${rows.length} questions about ${boxes.size} pictures in ${out}`);

/** The box around what differs from the background, which is the corner's colour. */
function shapeBox(image: RgbImage): [number, number, number, number] {
  const [height, width] = image.shape as [number, number, number];
  const box: [number, number, number, number] = [width, height, 0, 0];
  for (let at = 0; at < height * width; at++) {
    const difference = [0, 1, 2].reduce(
      (sum, c) => sum + Math.abs(image.data[3 * at + c] - image.data[c]),
      0,
    );
    if (difference < 90) continue;
    const [x, y] = [at % width, Math.floor(at / width)];
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x + 1);
    box[3] = Math.max(box[3], y + 1);
  }
  return box;
}

function decisiveWords(question: string): [number, number][] {
  const named =
    /\b(not|no|colou?r|shape|circle|triangle|rectangle|red|green|blue|black|gr[ae]y|teal|brown|yellow)\b/g;
  return Array.from(question.matchAll(named), (m) => [m.index, m.index + m[0].length]);
}
