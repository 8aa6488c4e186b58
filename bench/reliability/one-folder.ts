import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { sortedRows, startBench } from './command.js';

const explainers = ['oracle', 'anti-oracle', 'random', 'occlusion'] as const;

export interface SharedFolderOutcome {
  /** Processes that were refused at the first start, by the owner's name. */
  readonly refused: number;
  /** Starts until all were through. */
  readonly starts: number;
  readonly rows: number;
  readonly expected: number;
  /** Whether the rows are the bytes of those of one process. */
  readonly identical: boolean;
  /** Files beside the results that should not be there. */
  readonly left: readonly string[];
}

/**
 * Starts several processes on one results folder at once, each for an explainer; those that are refused try
 * again.
 */
export async function shareFolder(processes: 2 | 4, samples: number): Promise<SharedFolderOutcome> {
  const folder = mkdtempSync(join(tmpdir(), 'fsyn-one-folder-'));
  const used = explainers.slice(0, processes);
  try {
    const whole = await startBench(folder, samples, '--explainers', used.join(), '--out', 'whole').ended;
    if (whole.end !== 0) throw new Error(whole.log);
    let waiting: readonly string[] = used;
    let [starts, refused] = [0, 0];
    for (let round = 0; waiting.length > 0; round++) {
      const tries = waiting.map(async (explainer) => {
        starts++;
        const { end, log } = await startBench(
          folder,
          samples,
          '--explainers',
          explainer,
          '--resume',
          '--out',
          'shared',
        ).ended;
        if (end === 0) return [];
        const named = /Process \d+ on \S+ has been working in this folder/.test(log);
        if (end !== 1 || !named) throw new Error(`Ended with ${end}: ${log}`);
        return [explainer];
      });
      waiting = (await Promise.all(tries)).flat();
      if (round === 0) refused = waiting.length;
    }
    const rows = sortedRows(folder, 'shared');
    const known = readdirSync(join(folder, 'whole'));
    return {
      refused,
      starts,
      rows: rows.length,
      expected: samples * processes,
      identical: rows.join('\n') === sortedRows(folder, 'whole').join('\n'),
      left: readdirSync(join(folder, 'shared')).filter((name) => !known.includes(name)),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (pathToFileURL(argv[1] ?? '').href === import.meta.url) {
  for (const processes of [2, 4] as const) {
    const { refused, starts, rows, expected, identical, left } = await shareFolder(processes, 12);
    console.log(
      `${processes} processes: ${refused} refused at first, ${starts} starts, ${rows} rows of ${expected}, ` +
        `bytes ${identical ? 'equal' : 'DIFFERENT'}, files left over: ${left.join(', ') || 'none'}`,
    );
    if (!identical || rows !== expected || left.length > 0) process.exitCode = 1;
  }
}
