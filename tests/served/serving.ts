import { embeddedDataset } from '../../lib/datasets/embedded/dataset.js';
import { loadModels } from '../../lib/runner/models.js';
import type { ServerFaults } from '../../lib/serve/faults.js';
import type { ServedDialect } from '../../lib/serve/routes.js';
import { type RunningServer, serve } from '../../lib/serve/server.js';
import { openServed, type ServedOptions, servedDefaults } from '../../lib/vlm/served/vlm.js';
import type { RgbImage, Vlm } from '../../lib/vlm/types.js';

const running: RunningServer[] = [];

/** llava-tiny, and a question with its picture. */
export async function aQuestion(): Promise<{ vlm: Vlm; question: string; picture: RgbImage }> {
  const [vlm] = await loadModels(['llava-tiny'], { threads: 1 });
  const options = {
    families: ['presence'],
    groundings: ['grounded'],
    seed: 5,
    split: 'test',
    size: 1,
  } as const;
  for await (const sample of embeddedDataset(options).samples())
    return { vlm, question: sample.question, picture: await sample.image() };
  throw new Error('no sample');
}

export async function startServer(
  vlm: Vlm,
  dialect: ServedDialect,
  faults: Partial<ServerFaults> = {},
): Promise<RunningServer> {
  const server = await serve(vlm, { dialect, faults });
  running.push(server);
  return server;
}

export async function stopAll(...models: Vlm[]): Promise<void> {
  for (const server of running.splice(0)) await server.close();
  for (const model of models) model.dispose();
}

/** llava-tiny takes pictures of 64 x 64 and makes a token of 8 x 8 pixels. */
export function openTiny(server: RunningServer, more: Partial<ServedOptions> = {}) {
  return openServed(`served:${server.url}/v1#llava-tiny`, {
    ...servedDefaults,
    grid: 8,
    multiple: 8,
    side: 64,
    ...more,
  });
}
