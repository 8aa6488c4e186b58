import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { FsynError } from '../errors.js';
import { resolveOptions } from '../options.js';
import { packageInfo } from '../package.js';
import { suggestion } from '../suggestion.js';
import type { DtypeChoice } from '../vlm/files/dtypes.js';
import { loadVlm } from '../vlm/load.js';
import { isServed, openServed, type ServedOptions, servedDefaults } from '../vlm/served/vlm.js';
import type { ProviderCheck, Vlm } from '../vlm/types.js';
import { refuseRepeated } from './names.js';

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

export interface LoadModelsOptions {
  /** Number format of the model files: the most precise one there by default. */
  readonly dtype: DtypeChoice | undefined;
  /** Threads for inference: all cores by default. */
  readonly threads: number | undefined;
  /** Bytes that forward passes may use beside the weights: a quarter of the memory by default. */
  readonly memory: number | undefined;
  /** Execution providers in order of preference. */
  readonly providers: readonly string[];
  /** Hears how far a model's scores on another provider are from the processor's. */
  readonly onProviderCheck: ((model: string, check: ProviderCheck) => void) | undefined;
  /** How models behind servers (`served:URL#MODEL`) are asked. */
  readonly served: Partial<ServedOptions>;
  readonly signal: AbortSignal | undefined;
}

/**
 * Loads models in order, each given by the name of an embedded model, a path, or
 * `served:http://HOST:PORT/v1#MODEL`; `NAME=` before it gives it another name in results, which tells apart
 * two directories that are both called `model`. The caller disposes them.
 *
 * @throws FsynError INVALID_ARGUMENT for a name that is no model or two models of one name; else as `loadVlm`
 */
export async function loadModels(
  names: readonly string[],
  options?: Partial<LoadModelsOptions>,
): Promise<Vlm[]> {
  const defaults: LoadModelsOptions = {
    dtype: undefined,
    threads: availableParallelism(),
    memory: undefined,
    providers: ['cpu'],
    onProviderCheck: undefined,
    served: {},
    signal: undefined,
  };
  const { onProviderCheck, served, ...settings } = resolveOptions('loadModels', defaults, options);
  const asked = { ...resolveOptions('served', servedDefaults, served), signal: settings.signal };
  const embedded = embeddedModels();
  const places = names.map((name) => findModel(name, embedded));
  const models: Vlm[] = [];
  try {
    for (const { directory, name } of places) {
      const model: Vlm = isServed(directory)
        ? await openServed(directory, { ...asked, name: name ?? asked.name })
        : await loadVlm(directory, { ...(name === undefined ? {} : { name }), ...settings });
      models.push(model);
      if (model.providerCheck) onProviderCheck?.(model.name, model.providerCheck);
      refuseRepeated('models', models);
    }
    return models;
  } catch (error) {
    for (const model of models) model.dispose();
    throw error;
  }
}

interface ModelPlace {
  readonly directory: string;
  /** Undefined where the directory names it. */
  readonly name: string | undefined;
}

function findModel(given: string, embedded: ReadonlyMap<string, string>): ModelPlace {
  const own = embedded.get(given);
  if (own !== undefined) return { directory: own, name: given };
  if (isServed(given) || existsSync(given)) return { directory: given, name: undefined };
  const [, name, rest] = /^([\w.-]+)=(.+)$/.exec(given) ?? [];
  if (name !== undefined) return { ...findModel(rest, embedded), name };
  if (/[/\\]/.test(given))
    throw new FsynError(
      'INVALID_ARGUMENT',
      `There is no file or folder ${JSON.stringify(given)} (as a model).`,
    );
  throw new FsynError(
    'INVALID_ARGUMENT',
    `Expected a model directory or one of ${[...embedded.keys()].join(', ')} for model but received ` +
      `${JSON.stringify(given)}${suggestion(given, [...embedded.keys()])}.`,
  );
}
