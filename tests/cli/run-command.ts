import type { Command, ExitCode } from '../../lib/cli/command.js';
import { parseOptions } from '../../lib/cli/program.js';

export interface CommandOutcome {
  readonly code: ExitCode;
  readonly out: string;
  readonly log: string;
}

/** Runs a command in this process and catches what it prints; errors are thrown as they are. */
export async function runCommand(command: Command, ...args: string[]): Promise<CommandOutcome> {
  let [out, log] = ['', ''];
  const code = await command.run(parseOptions(command, args), {
    out: (text) => {
      out += text;
    },
    log: (text) => {
      log += text;
    },
    interactive: false,
    signal: new AbortController().signal,
  });
  return { code, out, log };
}
