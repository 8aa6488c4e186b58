#!/usr/bin/env node
import { FsynError } from '../errors.js';
import { packageInfo } from '../package.js';
import { audit } from './audit.js';
import { bench } from './bench.js';
import { bridge } from './bridge.js';
import { type Command, commandHelp, type ExitCode, exitCodes, parseOptions, UsageError } from './command.js';
import { dataset } from './dataset.js';
import { doctor } from './doctor.js';
import { evaluate } from './evaluate.js';
import { explain } from './explain.js';
import { merge } from './merge.js';
import { players } from './players.js';
import { report } from './report.js';
import { speedup } from './speedup.js';

const commands: readonly Command[] = [
  bench,
  audit,
  report,
  explain,
  players,
  evaluate,
  bridge,
  speedup,
  dataset,
  merge,
  doctor,
];

function overview(): string {
  const rows = commands.map((command) => `  ${command.name.padEnd(10)}${command.summary}`).join('\n');
  return (
    `fsyn ${packageInfo().version} - synergistic faithfulness of VLM explainers\n\n` +
    `Usage: fsyn COMMAND [options]\n\n${rows}\n\n\`fsyn COMMAND --help\` shows a command's options.\n`
  );
}

/** Runs one command line and returns its exit code; never throws for a user's mistake. */
export async function main(args: readonly string[], signal: AbortSignal): Promise<ExitCode> {
  const out = (text: string) => void process.stdout.write(text);
  const log = (text: string) => void process.stderr.write(text);
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === 'help') {
    out(overview());
    return name === undefined ? exitCodes.usage : exitCodes.ok;
  }
  if (name === '--version') {
    out(`${packageInfo().version}\n`);
    return exitCodes.ok;
  }
  const command = commands.find((candidate) => candidate.name === name);
  if (!command) {
    log(`fsyn: unknown command ${JSON.stringify(name)}\n\n${overview()}`);
    return exitCodes.usage;
  }
  if (rest.includes('--help')) {
    out(commandHelp(command));
    return exitCodes.ok;
  }
  try {
    const interactive = process.stderr.isTTY === true && process.env.TERM !== 'dumb';
    return await command.run(parseOptions(command, rest), { out, log, interactive, signal });
  } catch (error) {
    if (error instanceof UsageError) {
      log(`fsyn ${name}: ${error.message}\n\`fsyn ${name} --help\` shows the options.\n`);
      return exitCodes.usage;
    }
    if (signal.aborted) {
      log(`fsyn ${name}: interrupted\n`);
      return exitCodes.interrupted;
    }
    log(`fsyn ${name}: ${describeError(error)}\n`);
    return exitCodes.error;
  }
}

function describeError(error: unknown): string {
  if (!(error instanceof FsynError))
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  const cause = error.cause instanceof Error ? `\n  because: ${error.cause.message}` : '';
  return `${error.message} [${error.code}]${cause}`;
}

const interrupt = new AbortController();
// The first interrupt lets the current sample go and keeps finished rows; a second one leaves at once.
process.once('SIGINT', () => {
  interrupt.abort(new Error('interrupted by SIGINT'));
  process.once('SIGINT', () => process.exit(exitCodes.interrupted));
});
process.once('SIGTERM', () => interrupt.abort(new Error('interrupted by SIGTERM')));
process.exitCode = await main(process.argv.slice(2), interrupt.signal);
