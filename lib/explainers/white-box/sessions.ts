import { addon } from '../../addon/addon.js';
import { FsynError } from '../../errors.js';
import { Leases, remember } from '../../lease.js';
import { transformerBlocks } from '../../onnx/index.js';
import { prepareModel } from '../../onnx/prepare.js';
import { ancestors } from '../../onnx/queries.js';
import type { WhiteBox } from '../../vlm/types.js';

/** Extended graphs of at most this many models stay open; the least recently used is closed. */
const OPEN_MODELS = 4;

type Disposable = { dispose(): void };

/** The extended graphs of one model, each built at its first use and reused by every sample and explainer. */
export class ModelSessions {
  readonly #open = new Leases<string, Disposable>((model) => model.dispose());
  readonly #known = new Map<string, Promise<unknown>>();

  /** Works with a graph, loaded at its first use; it stays open at least until the work is done. */
  use<T extends Disposable, R>(
    key: string,
    load: () => Promise<T>,
    work: (model: T) => Promise<R>,
  ): Promise<R> {
    return this.#open.use(key, load, (model) => work(model as T));
  }

  /** What was found out about the model under this name, once. */
  remember<T>(name: string, find: () => Promise<T>): Promise<T> {
    return remember(this.#known, name, find) as Promise<T>;
  }

  /** The residual stream behind every block of a graph that a tensor depends on, in order. */
  async blockOutputs(path: string, output: string): Promise<readonly string[]> {
    const outputs = await this.remember(`blocks of ${path} before ${output}`, async () => {
      const { graph } = await prepareModel(path);
      const before = ancestors(graph, [output]);
      return transformerBlocks(graph).flatMap((block) =>
        before.has(block.attention) && block.output !== undefined && before.has(block.output)
          ? [block.output]
          : [],
      );
    });
    if (outputs.length === 0) {
      throw new FsynError('UNSUPPORTED_MODEL', `${path}: no transformer blocks were recognised.`);
    }
    return outputs;
  }

  /** How many graphs are open. */
  get size(): number {
    return this.#open.keys.length;
  }

  /**
   * Closes every graph as soon as nothing works with it; resolves when those that nothing works with are
   * closed.
   */
  dispose(): Promise<void> {
    return this.#open.retire();
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
    void item.dispose();
    models.delete(oldest);
  }
  return sessions;
}

/**
 * Closes the sessions of all white-box explainers, those at work when they are done. They are opened again
 * when needed.
 */
export function releaseWhiteBoxSessions(): void {
  const closing = [...models.values()].map((sessions) => sessions.dispose());
  models.clear();
  if (closing.length === 0) return;
  // A favour to the system, that nothing depends on.
  Promise.all(closing)
    .then(() => addon().returnFreedMemory())
    .catch(() => undefined);
}
