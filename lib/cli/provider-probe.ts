import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { type ProviderFact, tryProvider } from '../inference/runtime.js';
import { packageInfo } from '../package.js';

/**
 * Tries an execution provider in a process of its own: drivers print warnings of their own accord (Vulkan's),
 * and a broken one may take its process down.
 */
export function tryProviderElsewhere(name: string): Promise<ProviderFact> {
  const script = join(packageInfo().root, 'dist/lib/cli/provider-probe.js');
  return new Promise((resolve) => {
    execFile(process.execPath, [script, name], { timeout: 60_000 }, (error, stdout) => {
      try {
        resolve(JSON.parse(stdout) as ProviderFact);
      } catch {
        const end = error?.signal ?? error?.code ?? 'no answer';
        resolve({ name, available: false, problem: `trying it ended the process that tried (${end})` });
      }
    });
  });
}

if (pathToFileURL(argv[1] ?? '').href === import.meta.url)
  process.stdout.write(JSON.stringify(tryProvider(argv[2])));
