import { basename, resolve } from 'node:path';
import { FsynError } from '../../errors.js';
import { defaultBudget } from '../../inference/evaluator.js';
import type { Fallback } from '../../inference/plan.js';
import type { Session } from '../../inference/session.js';
import { activationQuantizers } from '../../onnx/activations.js';
import { EXPORTED } from '../../onnx/exported.js';
import type { OnnxModel } from '../../onnx/model.js';
import type { Graph } from '../files/contract.js';
import { matrixCosts } from '../files/costs.js';
import { fingerprint, locatePart, type ModelDirectory } from '../files/directory.js';
import type { DtypeChoice } from '../files/dtypes.js';
import { isObject } from '../json.js';
import { ChatTemplate } from '../text/chat.js';
import { TextTokenizer } from '../text/tokenizer.js';
import { deviceCaches } from './cache-join.js';
import { openDecoder } from './edit-trial.js';
import { requireTokenwise } from './embed-trial.js';
import { type FamilyOptions, findFamily } from './families.js';
import { editDecoder, loadFile, readGraph } from './file.js';
import { rowsInput } from './graph.js';
import { EmbedGraph, VisionGraph } from './graphs.js';
import { DecoderVlm } from './vlm.js';

export interface DecoderOptions extends FamilyOptions {
  readonly name: string | undefined;
  readonly dtype: DtypeChoice;
  readonly providers: readonly string[];
  readonly threads: number;
  readonly memory: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Weights of a decoder from which on its passes are run one at a time on all threads. */
const largeModel = 5e8;

/**
 * Loads a model of three graphs: vision tower, token embedding, decoder.
 *
 * @param otherFamilies families of other kinds, for the message about an unknown one
 */
export async function loadDecoderVlm(
  directory: ModelDirectory,
  options: DecoderOptions,
  otherFamilies: readonly string[],
): Promise<DecoderVlm> {
  const tokenizer = new TextTokenizer(directory.tokenizer, directory.tokenizerConfig);
  const family = findFamily(directory, otherFamilies);
  const token = imageToken(directory, tokenizer);
  const template = chatTemplate(directory);
  const files = {
    vision: await locatePart(directory.path, 'vision_encoder', options.dtype),
    embed: await locatePart(directory.path, 'embed_tokens', options.dtype),
    decoder: await locatePart(directory.path, 'decoder_model_merged', options.dtype),
  };
  const open: Session[] = [];
  const { providers, signal } = options;
  const decoderFile = await readGraph(files.decoder.path);
  const editedDecoder = await editDecoder(decoderFile, options.signal);
  const decoderCosts = matrixCosts(editedDecoder.model.graph, EXPORTED.logits, rowsInput);
  // Small models are run side by side, one thread each; of a large one a single pass can keep every core
  // busy, and generation is then as fast as scoring. Neither changes a byte of a result. A device takes one
  // pass after the other.
  const large = decoderCosts.weights > largeModel;
  const sessionOptions = {
    providers,
    threads: large ? options.threads : 1,
    signal,
  };
  const load = async (
    { path }: { path: string },
    session = loadFile(path, sessionOptions),
  ): Promise<Graph> => {
    open.push(await session);
    return { session: await session, path };
  };
  try {
    const tower = await load(files.vision);
    const visionInputs = tower.session.inputs.map(({ name }) => name);
    const architecture = family(directory, token, visionInputs, options);
    const vision = new VisionGraph(tower, architecture.pixelInput, architecture.extraInputs);
    const embed = new EmbedGraph(await load(files.embed));
    await requireTokenwise(embed, tokenizer.vocabularySize, signal);
    const { decoder, fallbacks: rowFallbacks } = await openDecoder(
      decoderFile,
      editedDecoder,
      embed,
      tokenizer.vocabularySize,
      sessionOptions,
    );
    open.push(decoder.graph.session);
    const device = await deviceCaches(decoder, providers, signal);
    if (device !== undefined) open.push(device.join);
    const visionFile = await readGraph(files.vision.path);
    const paths = [files.vision.path, files.embed.path, files.decoder.path];
    const hash = await fingerprint(directory.path, paths);
    const parts = {
      directory,
      architecture,
      vision,
      embed,
      decoder,
      tokenizer,
      template,
      workers: large || providers[0] !== 'cpu' ? 1 : options.threads,
      memory: options.memory ?? defaultBudget(),
      deviceCaches: device,
      content: `${hash} on ${providers.join()}`,
      costs: {
        vision: matrixCosts(visionFile.graph),
        decoder: decoderCosts,
      },
      fallbacks: [...quantizedFallbacks(visionFile, decoderFile), ...rowFallbacks],
    };
    const name = options.name ?? basename(resolve(directory.path));
    return new DecoderVlm(parts, name, hash);
  } catch (error) {
    for (const session of open) session.dispose();
    throw error;
  }
}

/** What a score of its own asks of graphs that round activations to integers. */
function quantizedFallbacks(vision: OnnxModel, decoder: OnnxModel): Fallback[] {
  const of = ({ graph }: OnnxModel) => activationQuantizers(graph).join(', ');
  const [visionBy, decoderBy] = [of(vision), of(decoder)];
  const fallbacks: Fallback[] = [];
  if (visionBy !== '') {
    const reason = `The vision graph rounds activations to integers (${visionBy}), so that image states would change each other: they are encoded one by one.`;
    fallbacks.push({ code: 'one-image-per-run', reason });
  }
  if (decoderBy !== '') {
    const reason = `The decoder rounds activations to integers (${decoderBy}), so that a score would depend on what shares its run: every cell is a full pass of its own.`;
    fallbacks.push({ code: 'activations-quantized', reason });
  }
  return fallbacks;
}

function imageToken(directory: ModelDirectory, tokenizer: TextTokenizer): string {
  const { config, processor } = directory;
  const id = config.image_token_id ?? config.image_token_index;
  if (typeof id === 'number') return tokenizer.tokenString(id);
  if (typeof processor?.image_token === 'string') return processor.image_token;
  throw new FsynError(
    'MODEL_CONTRACT',
    'Expected image_token_id or image_token_index in config.json; neither is there.',
  );
}

function chatTemplate(directory: ModelDirectory): ChatTemplate {
  if (directory.chatTemplate === undefined) {
    throw new FsynError(
      'MODEL_FILE',
      'Expected a chat template in chat_template.jinja, chat_template.json, processor_config.json or tokenizer_config.json; ' +
        'none has one.',
    );
  }
  const tokens: Record<string, string> = {};
  for (const key of ['bos_token', 'eos_token', 'pad_token', 'unk_token']) {
    const value = directory.tokenizerConfig[key];
    const content = isObject(value) ? value.content : value;
    if (typeof content === 'string') tokens[key] = content;
  }
  return new ChatTemplate(directory.chatTemplate, tokens);
}
