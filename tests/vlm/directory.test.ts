import { cp, mkdir, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { externalFiles } from '../../lib/onnx/external-data.js';
import { externalRange } from '../../lib/onnx/model.js';
import { createMessage, parseModel, serializeModel } from '../../lib/onnx/protobuf.js';
import { fingerprint, locatePart } from '../../lib/vlm/files/directory.js';
import { parseDtype } from '../../lib/vlm/files/dtypes.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { pattern } from './pattern.js';

const source = fileURLToPath(new URL('../golden/vlm-llava', import.meta.url));

describe('model directories', () => {
  let scratch: string;
  let model: string;
  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'fsyn-directory-'));
    model = join(scratch, 'model');
    await cp(source, model, { recursive: true });
  });
  afterEach(() => rm(scratch, { recursive: true }));

  async function editJson(name: string, edit: (value: Record<string, unknown>) => void): Promise<void> {
    const value = JSON.parse(await readFile(join(model, name), 'utf8')) as Record<string, unknown>;
    edit(value);
    await writeFile(join(model, name), JSON.stringify(value));
  }

  /**
   * Renames a tensor in a graph by replacing its name with another of the same length, wherever it stands.
   */
  async function renameTensor(part: string, from: string, to: string): Promise<void> {
    const path = join(model, 'onnx', `${part}.onnx`);
    const bytes = await readFile(path);
    expect(from.length).toBe(to.length);
    for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + 1))
      bytes.write(to, at, 'latin1');
    await writeFile(path, bytes);
  }

  const broken: [string, () => Promise<unknown>, string, RegExp][] = [
    ['no directory', () => rm(model, { recursive: true }), 'MODEL_FILE', /does not exist/],
    ['no config.json', () => rm(join(model, 'config.json')), 'MODEL_FILE', /config\.json/],
    [
      'a truncated config.json',
      () => truncate(join(model, 'config.json'), 40),
      'MODEL_FILE',
      /config\.json.*truncated/,
    ],
    ['no tokenizer.json', () => rm(join(model, 'tokenizer.json')), 'MODEL_FILE', /tokenizer\.json/],
    ['no chat template', () => rm(join(model, 'chat_template.json')), 'MODEL_FILE', /chat template/],
    [
      'no image processor',
      () => rm(join(model, 'preprocessor_config.json')),
      'MODEL_FILE',
      /preprocessor_config\.json/,
    ],
    [
      'no decoder',
      () => rm(join(model, 'onnx', 'decoder_model_merged.onnx')),
      'MODEL_FILE',
      /onnx\/decoder_model_merged.*there are: embed_tokens\.onnx, vision_encoder\.onnx/,
    ],
    [
      'a truncated vision encoder',
      () => truncate(join(model, 'onnx', 'vision_encoder.onnx'), 50_000),
      'MODEL_FILE',
      /vision_encoder\.onnx/,
    ],
    [
      'an empty decoder',
      () => truncate(join(model, 'onnx', 'decoder_model_merged.onnx'), 0),
      'MODEL_FILE',
      /decoder_model_merged\.onnx/,
    ],
    [
      'a pixel input of another name',
      () => renameTensor('vision_encoder', 'pixel_values', 'pixel_valuez'),
      'MODEL_CONTRACT',
      /input "pixel_values".*vision_encoder\.onnx.*it has: pixel_valuez\[batch_size,3,28,28\]/,
    ],
    [
      'logits of another name',
      () => renameTensor('decoder_model_merged', 'logits', 'scores'),
      'MODEL_CONTRACT',
      /output "logits".*decoder_model_merged\.onnx.*scores/,
    ],
    [
      'an input that nobody feeds',
      () => renameTensor('decoder_model_merged', 'position_ids', 'position_idz'),
      'MODEL_CONTRACT',
      /Unknown input "position_idz".*decoder_model_merged/,
    ],
    [
      'another architecture',
      () =>
        editJson('config.json', (c) => {
          c.model_type = 'mystery';
        }),
      'UNSUPPORTED_MODEL',
      /"mystery".*supported: .*llava/,
    ],
    [
      'an image token that the vocabulary lacks',
      () =>
        editJson('config.json', (c) => {
          c.image_token_id = 99999;
          c.image_token_index = 99999;
        }),
      'TOKENIZER',
      /99999/,
    ],
    [
      'a chat template that cannot be parsed',
      () =>
        editJson('chat_template.json', (c) => {
          c.chat_template = '{% for %}';
        }),
      'TOKENIZER',
      /chat template/,
    ],
  ];

  it.each(broken)('says what is wrong: %s', async (_, damage, code, message) => {
    await damage();
    await expect(loadVlm(model)).rejects.toMatchObject({
      name: 'FsynError',
      code,
      message: expect.stringMatching(message),
    });
  });

  it('takes the number format asked for, else the most precise', async () => {
    const part = (name: string) => join(model, 'onnx', name);
    await rename(part('embed_tokens.onnx'), part('embed_tokens_fp16.onnx'));
    (await loadVlm(model)).dispose();
    (await loadVlm(model, { dtype: { embed_tokens: 'fp16' } })).dispose();
    await expect(loadVlm(model, { dtype: 'fp32' })).rejects.toMatchObject({
      code: 'MODEL_FILE',
      message: expect.stringMatching(/embed_tokens\.onnx.*embed_tokens_fp16\.onnx/),
    });
    await expect(loadVlm(model, { dtype: 'fp8' as 'fp16' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(loadVlm(model, { dytpe: 'fp16' } as object)).rejects.toThrow(/Unknown option "dytpe"/);
  });

  it('has a fingerprint that follows the contents, not the place', async () => {
    const copy = await loadVlm(model);
    const original = await loadVlm(source);
    expect(copy.fingerprint).toBe(original.fingerprint);
    await editJson('generation_config.json', (c) => {
      c.eos_token_id = 5;
    });
    const edited = await loadVlm(model);
    expect(edited.fingerprint).not.toBe(original.fingerprint);
    for (const vlm of [copy, original, edited]) vlm.dispose();
  });

  it('has a fingerprint that covers the weights that its graphs name, in files of any name', async () => {
    const path = join(model, 'onnx', 'embed_tokens.onnx');
    const proto = parseModel(await readFile(path));
    const weights = proto.graph!.initializer.filter((item) => item.rawData.length >= 256);
    const bytes = Buffer.concat(weights.map((item) => Buffer.from(item.rawData)));
    let offset = 0;
    for (const item of weights) {
      item.externalData = externalRange('weights/all.bin', offset, item.rawData.length);
      offset += item.rawData.length;
      delete (item as Partial<typeof item>).rawData;
      item.dataLocation = 1;
    }
    await writeFile(path, serializeModel(proto));
    await mkdir(join(model, 'onnx', 'weights'));
    await writeFile(join(model, 'onnx', 'weights', 'all.bin'), bytes);
    const before = await fingerprint(model, [path]);
    await writeFile(join(model, 'onnx', 'embed_tokens.onnx_data_old'), 'named by no graph');
    expect(await fingerprint(model, [path])).toBe(before);
    bytes[0] ^= 1;
    await writeFile(join(model, 'onnx', 'weights', 'all.bin'), bytes);
    expect(await fingerprint(model, [path])).not.toBe(before);
    await rm(join(model, 'onnx', 'weights'), { recursive: true });
    await expect(fingerprint(model, [path])).rejects.toMatchObject({
      code: 'MODEL_FILE',
      message: expect.stringMatching(/all\.bin/u),
    });
  });

  it('names the files of constants and of inner graphs, each once', async () => {
    const tensor = (location: string) =>
      createMessage('TensorProto', { externalData: externalRange(location, 0, 4), dataLocation: 1 });
    const constant = createMessage('NodeProto', {
      opType: 'Constant',
      attribute: [createMessage('AttributeProto', { name: 'value', type: 4, t: tensor('constant.bin') })],
    });
    const branch = createMessage('GraphProto', { node: [constant], initializer: [tensor('branch.bin')] });
    const choose = createMessage('NodeProto', {
      opType: 'If',
      attribute: [createMessage('AttributeProto', { name: 'then_branch', type: 5, g: branch })],
    });
    const graph = createMessage('GraphProto', {
      node: [choose],
      initializer: [tensor('main.bin'), tensor('main.bin')],
    });
    const path = join(scratch, 'nested.onnx');
    await writeFile(path, serializeModel(createMessage('ModelProto', { graph })));
    const found = await externalFiles(path);
    expect(found.map(({ location }) => location)).toEqual(['branch.bin', 'constant.bin', 'main.bin']);
    expect(found[2].path).toBe(join(scratch, 'main.bin'));
  });

  it('refuses misplaced image features', async () => {
    await editJson('config.json', (c) => {
      c.vision_feature_select_strategy = 'full';
    });
    const vlm = await loadVlm(model);
    await expect(vlm.prepare(pattern(28, 28), 'Is it red?')).rejects.toMatchObject({
      code: 'MODEL_CONTRACT',
      message: expect.stringMatching(/17 image features.*\[1, 16, 32\]/),
    });
    vlm.dispose();
  });
});

describe('prepare', () => {
  const image = pattern(28, 28);

  it('refuses misuse before any work', async () => {
    const vlm = await loadVlm(source);
    const reject = (...args: Parameters<typeof vlm.prepare>) => expect(vlm.prepare(...args)).rejects;
    await reject(image, '  ').toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/question/),
    });
    await reject(image, 'What <image> is it?').toMatchObject({ code: 'INVALID_ARGUMENT' });
    await reject({} as never, 'Is it red?').toMatchObject({ code: 'IMAGE' });
    await reject(pattern(28, 28).pick(null, null, 0) as never, 'Is it red?').toMatchObject({ code: 'IMAGE' });
    await reject(image, 'Is it red?', { textMasking: 'hide' as 'attend' }).toThrow(/textMasking/);
    await reject(image, 'Is it red?', { baseLine: 'mean' } as object).toThrow(/Unknown option "baseLine"/);
    await reject(image, 'Is it red?', { maxNewTokens: 0 }).toThrow(/maxNewTokens/);
    await reject(image, 'Is it red?', { answer: '' }).toThrow(/answer/);
    await reject(image, 'Is it red?', { blurRadius: -2 }).toThrow(/blurRadius/);
    await reject(image, 'Is it red?', { signal: AbortSignal.abort(new Error('stop')) }).toThrow('stop');
    vlm.dispose();
    await reject(image, 'Is it red?').toMatchObject({ code: 'DISPOSED' });
  });

  it('refuses a question that the context does not hold', async () => {
    const vlm = await loadVlm(source);
    await expect(vlm.prepare(image, 'red circle '.repeat(60))).rejects.toMatchObject({
      code: 'CONTEXT_LENGTH',
      message: expect.stringMatching(/holds 128 tokens.*image tokens included/),
    });
    // A prompt that fits leaves less room for the answer, and no more is generated.
    const sample = await vlm.prepare(image, 'red circle '.repeat(46), { maxNewTokens: 64 });
    expect(sample.whiteBox!.tokenIds.length).toBeLessThanOrEqual(128);
    vlm.dispose();
  });

  it('makes players of instruction and template tokens when asked', async () => {
    const vlm = await loadVlm(source);
    const options = { instruction: '\nAnswer yes or no.', maxNewTokens: 1 };
    const plain = await vlm.prepare(image, 'Is it red?', options);
    const every = await vlm.prepare(image, 'Is it red?', {
      ...options,
      includeInstruction: true,
      includeTemplate: true,
    });
    expect(new Set(plain.textPlayers.kinds)).toEqual(new Set(['question']));
    const kinds = every.textPlayers.kinds;
    const question = kinds.filter((kind) => kind === 'question');
    expect(question.length).toBe(plain.textPlayers.count);
    expect(kinds.filter((kind) => kind === 'instruction').length).toBeGreaterThan(3);
    // Between the role words: the line break after the image and what the tokenizer puts before it.
    expect(kinds.filter((kind) => kind === 'template').length).toBeGreaterThan(0);
    const labels = every.textPlayers.labels.join(' ');
    expect(labels).not.toMatch(/USER|ASSISTANT|image|<s>/);
    expect(every.textPlayers.spans.subarray(-2)).toEqual(Int32Array.of(-1, -1));
    vlm.dispose();
  });

  it('scores a given answer', async () => {
    const vlm = await loadVlm(source);
    const sample = await vlm.prepare(image, 'Is it red?', { answer: 'Yes, it is', answerTokens: 'all' });
    expect(sample.answer).toMatchObject({ text: 'Yes, it is', decisionKind: 'yes-no', decisionToken: 'Yes' });
    expect(sample.answer.tokens[0]).toBe(' Yes');
    const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
    table.cell(
      table.imageState(new Uint8Array(16)),
      table.textState(new Uint8Array(sample.textPlayers.count)),
    );
    const scores = await sample.evaluate(table);
    expect(scores.tokens).toBe(sample.answer.tokenIds.length);
    expect(scores.logProbabilities.every((value) => value < 0 && Number.isFinite(value))).toBe(true);
    vlm.dispose();
  });

  it('evaluates under a signal, with progress, on tables of its own players only', async () => {
    const vlm = await loadVlm(source);
    const sample = await vlm.prepare(image, 'Is it red?', { maxNewTokens: 1 });
    await expect(sample.evaluate(new CellTable(3, 2))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const table = new CellTable(16, sample.textPlayers.count);
    for (let p = 0; p < 16; p++) {
      const present = new Uint8Array(16).fill(1);
      present[p] = 0;
      table.cell(
        table.imageState(present),
        table.textState(new Uint8Array(sample.textPlayers.count).fill(1)),
      );
    }
    const progress: number[] = [];
    await sample.evaluate(table, { onProgress: (done, total) => progress.push(done / total) });
    expect(progress.at(-1)).toBe(1);
    expect([...progress].sort((a, b) => a - b)).toEqual(progress);
    // Cells that nobody has asked for yet: known ones would be answered without a run to abort.
    const fresh = new CellTable(16, sample.textPlayers.count);
    for (let p = 0; p < 16; p++) {
      const present = new Uint8Array(16);
      present[p] = 1;
      fresh.cell(fresh.imageState(present), fresh.textState(new Uint8Array(sample.textPlayers.count)));
    }
    const controller = new AbortController();
    const running = sample.evaluate(fresh, {
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(running).rejects.toThrow('enough');
    vlm.dispose();
  });
});

describe('the number format of the command line', () => {
  it.each([
    ['q4', 'q4'],
    ['q8', 'q8'],
    ['vision_encoder=fp16,decoder_model_merged=q2', { vision_encoder: 'fp16', decoder_model_merged: 'q2' }],
  ])('%s', (text, choice) => {
    expect(parseDtype(text)).toEqual(choice);
  });

  it.each([
    'q5',
    'q4,fp16',
    'vision=q4',
    'vision_encoder=q5',
    'model=q4,model=q4',
    'model=',
    '',
    'model=q4=q4',
  ])('refuses %j', (text) => {
    expect(() => parseDtype(text)).toThrow(/dtype/);
  });

  it.each([
    ['q8', '_quantized'],
    ['bnb4', '_bnb4'],
    ['q2', '_q2'],
    ['q2f16', '_q2f16'],
  ] as const)('%s is looked for as %s', async (dtype, suffix) => {
    const folder = await mkdtemp(join(tmpdir(), 'fsyn-dtypes-'));
    await writeFile(join(folder, `model${suffix}.onnx`), 'x');
    expect((await locatePart(folder, 'model', dtype)).path).toBe(join(folder, `model${suffix}.onnx`));
    expect((await locatePart(folder, 'model', 'auto')).path).toBe(join(folder, `model${suffix}.onnx`));
    await rm(folder, { recursive: true });
  });
});
