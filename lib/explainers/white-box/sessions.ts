import { FsynError } from '../../errors.js';
import { transformerBlocks } from '../../onnx/index.js';
import { prepareModel } from '../../onnx/prepare.js';
import { ancestors } from '../../onnx/queries.js';
import type { WhiteBox } from '../../vlm/types.js';

/** Extended graphs of at most this many models stay open; the least recently used is closed. */
const OPEN_MODELS = 4;

type Disposable = { dispose(): void };

/** The extended graphs of one model, each built at its first use and reused by every sample and explainer. */
export class ModelSessions {
  readonly #open = new Map<string, Promise<Disposable>>();
  readonly #blocks = new Map<string, readonly string[]>();
  readonly #decisions = new Map<string, Promise<boolean>>();

  get<T extends Disposable>(key: string, load: () => Promise<T>): Promise<T> {
    const known = this.#open.get(key);
    if (known) return known as Promise<T>;
    const loading = load();
    this.#open.set(key, loading);
    // A failed or aborted load must not stay.
    loading.catch(() => this.#open.delete(key));
    return loading;
  }

  /** What was found out about the model under this name, once. */
  decide(name: string, find: () => Promise<boolean>): Promise<boolean> {
    const known = this.#decisions.get(name);
    if (known) return known;
    const finding = find();
    this.#decisions.set(name, finding);
    finding.catch(() => this.#decisions.delete(name));
    return finding;
  }

  /** Block outputs of a graph, up to a tensor. */
  async blockOutputs(path: string, output: string): Promise<readonly string[]> {
    const known = this.#blocks.get(path);
    if (known) return known;
    const { graph } = await prepareModel(path);
    const before = ancestors(graph, [output]);
    const found = transformerBlocks(graph).flatMap((block) =>
      block.output !== undefined && before.has(block.output) ? [block.output] : [],
    );
    if (found.length === 0) {
      throw new FsynError('UNSUPPORTED_MODEL', `${path}: no transformer blocks were recognised.`);
    }
    this.#blocks.set(path, found);
    return found;
  }

  dispose(): void {
    for (const loading of this.#open.values())
      loading.then((model) => model.dispose()).catch(() => undefined);
    this.#open.clear();
  }
}

const models = new Map<string, ModelSessions>();

/** The sessions of the model behind a sample. */
export function sessionsOf(whiteBox: WhiteBox): ModelSessions {
  const key = [whiteBox.visionModel, whiteBox.embedModel, whiteBox.decoderModel].join('\n');
  const sessions = models.get(key) ?? new ModelSessions();
  models.delete(key);
  models.set(key, sessions);
  for (const [oldest, item] of models) {
    if (models.size <= OPEN_MODELS) break;
    item.dispose();
    models.delete(oldest);
  }
  return sessions;
}

/** Closes the sessions of all white-box explainers. They are opened again when needed. */
export function releaseWhiteBoxSessions(): void {
  for (const sessions of models.values()) sessions.dispose();
  models.clear();
}
