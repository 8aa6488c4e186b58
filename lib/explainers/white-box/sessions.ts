import { addon } from '../../addon/addon.js';
import { FsynError } from '../../errors.js';
import { transformerBlocks } from '../../onnx/index.js';
import { prepareModel } from '../../onnx/prepare.js';
import { ancestors } from '../../onnx/queries.js';
import type { WhiteBox } from '../../vlm/types.js';

/** Extended graphs of at most this many models stay open; the least recently used is closed. */
const OPEN_MODELS = 4;

type Disposable = { dispose(): void };

interface Open {
  readonly loading: Promise<Disposable>;
  users: number;
  retired: boolean;
}

/** The extended graphs of one model, each built at its first use and reused by every sample and explainer. */
export class ModelSessions {
  readonly #open = new Map<string, Open>();
  readonly #known = new Map<string, Promise<unknown>>();

  /** Works with a graph, loaded at its first use; it stays open at least until the work is done. */
  async use<T extends Disposable, R>(
    key: string,
    load: () => Promise<T>,
    work: (model: T) => Promise<R>,
  ): Promise<R> {
    const open = this.#opened(key, load);
    open.users++;
    try {
      return await work((await open.loading) as T);
    } finally {
      open.users--;
      void closeUnused(open);
    }
  }

  #opened(key: string, load: () => Promise<Disposable>): Open {
    const known = this.#open.get(key);
    if (known) return known;
    const open: Open = { loading: load(), users: 0, retired: false };
    this.#open.set(key, open);
    // A failed or aborted load must not stay.
    open.loading.catch(() => {
      if (this.#open.get(key) === open) this.#open.delete(key);
    });
    return open;
  }

  /** What was found out about the model under this name, once. */
  remember<T>(name: string, find: () => Promise<T>): Promise<T> {
    const known = this.#known.get(name);
    if (known) return known as Promise<T>;
    const finding = find();
    this.#known.set(name, finding);
    finding.catch(() => this.#known.delete(name));
    return finding;
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
    return this.#open.size;
  }

  /** Closes every graph as soon as nothing works with it; resolves when those that nothing works with are closed. */
  async dispose(): Promise<void> {
    const closing = [...this.#open.values()].map((open) => {
      open.retired = true;
      return closeUnused(open);
    });
    this.#open.clear();
    await Promise.all(closing);
  }
}

async function closeUnused({ loading, users, retired }: Open): Promise<void> {
  if (!retired || users > 0) return;
  // Who asked for a graph that could not be loaded was told.
  await loading.then((model) => model.dispose()).catch(() => undefined);
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

/** Closes the sessions of all white-box explainers, those at work when they are done. They are opened again when needed. */
export function releaseWhiteBoxSessions(): void {
  const closing = [...models.values()].map((sessions) => sessions.dispose());
  models.clear();
  if (closing.length === 0) return;
  // A favour to the system, that nothing depends on.
  Promise.all(closing)
    .then(() => addon().returnFreedMemory())
    .catch(() => undefined);
}
