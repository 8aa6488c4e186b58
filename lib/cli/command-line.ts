import tab from '@bomb.sh/tab/commander';
import { CommanderError } from 'commander';
import { FsynError } from '../errors.js';
import { packageInfo } from '../package.js';
import { audit } from './audit.js';
import { bench } from './bench.js';
import { bridge } from './bridge.js';
import { buildAddon } from './build-addon.js';
import { type Command, type CommandIo, type ExitCode, exitCodes, UsageError } from './command.js';
import { dataset } from './dataset.js';
import { doctor } from './doctor.js';
import { evaluate } from './evaluate.js';
import { explain } from './explain.js';
import { merge } from './merge.js';
import { players } from './players.js';
import { buildProgram, usageOf } from './program.js';
import { queue } from './queue.js';
import { report } from './report.js';
import { serve } from './serve.js';
import { speedup } from './speedup.js';
import { worker } from './worker.js';

const commands: readonly Command[] = [
  bench,
  audit,
  report,
  explain,
  players,
  evaluate,
  bridge,
  serve,
  speedup,
  dataset,
  merge,
  worker,
  queue,
  doctor,
  buildAddon,
];

/** Runs one command line and returns its exit code; never throws for a user's mistake. */
export async function main(args: readonly string[], io: CommandIo): Promise<ExitCode> {
  let code: ExitCode = exitCodes.ok;
  let name = '';
  const program = buildProgram(commands, packageInfo().version, io, async (command, values) => {
    name = command.name;
    code = await command.run(values, io);
  });
  tab(program);
  program.commands
    .find((command) => command.name() === 'complete')
    ?.description('print a script with which a shell completes commands: bash, zsh, fish or powershell');
  if (args.length === 0) {
    io.out(program.helpInformation());
    return exitCodes.usage;
  }
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return exitCodes.ok;
    const named = name || (commands.some((command) => command.name === args[0]) ? args[0] : '');
    return explainFailure(usageOf(thrown), named, io);
  }
}

function explainFailure(error: unknown, name: string, { log, signal }: CommandIo): ExitCode {
  const command = name === '' ? 'fsyn' : `fsyn ${name}`;
  if (error instanceof UsageError) {
    log(
      `${command}: ${error.message}\n\`${command} --help\` shows ${name === '' ? 'the commands' : 'the options'}.\n`,
    );
    return exitCodes.usage;
  }
  if (signal.aborted) {
    log(`${command}: interrupted\n`);
    return exitCodes.interrupted;
  }
  log(`${command}: ${describeError(error)}\n`);
  return exitCodes.error;
}

function describeError(error: unknown): string {
  if (!(error instanceof FsynError))
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  const cause = error.cause instanceof Error ? `\n  because: ${error.cause.message}` : '';
  return `${error.message} [${error.code}]${cause}`;
}
