import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { packageInfo } from '../package.js';
import type { Dtype } from '../vlm/files/directory.js';
import { loadVlm } from '../vlm/load.js';
import type { Vlm } from '../vlm/types.js';
import { UsageError } from './command.js';

/** Directories of the models that ship with fsyn, by name. */
export function embeddedModels(): ReadonlyMap<string, string> {
  const home = join(packageInfo().root, 'bench', 'models');
  const names = existsSync(home) ? readdirSync(home).sort() : [];
  return new Map(
    names.flatMap((name) => {
      const directory = join(home, name, 'model');
      return existsSync(join(directory, 'config.json')) ? [[name, directory] as const] : [];
    }),
  );
}

/** A model's directory: the name of an embedded model or a path. */
function resolveModel(nameOrPath: string, embedded: ReadonlyMap<string, string>): string {
  const directory = embedded.get(nameOrPath) ?? nameOrPath;
  if (!existsSync(directory)) {
    throw new UsageError(
      `Expected a model directory or one of ${[...embedded.keys()].join(', ')} for --model but received ${JSON.stringify(nameOrPath)}.`,
    );
  }
  return directory;
}

export interface LoadSettings {
  readonly dtype: Dtype | undefined;
  readonly threads: number | undefined;
  readonly memory: number | undefined;
  readonly providers: readonly string[];
  readonly signal: AbortSignal;
}

/** Loads models by name or path, in order. */
export async function loadModels(names: readonly string[], settings: LoadSettings): Promise<Vlm[]> {
  const embedded = embeddedModels();
  const models: Vlm[] = [];
  try {
    for (const name of names) {
      models.push(
        await loadVlm(resolveModel(name, embedded), {
          ...(embedded.has(name) ? { name } : {}),
          dtype: settings.dtype,
          threads: settings.threads ?? availableParallelism(),
          memory: settings.memory,
          providers: settings.providers,
          signal: settings.signal,
        }),
      );
    }
    return models;
  } catch (error) {
    for (const model of models) model.dispose();
    throw error;
  }
}
