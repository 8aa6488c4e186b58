#!/usr/bin/env node
import { exitCodes } from './command.js';
import { main } from './command-line.js';
import { printer } from './output.js';
import { visible } from './visible.js';

const interrupt = new AbortController();
// The first interrupt lets the current sample go and keeps finished rows. Nobody listens to a second one: the
// system then ends the process, whatever holds the event loop.
process.once('SIGINT', () => interrupt.abort(new Error('interrupted by SIGINT')));
process.once('SIGTERM', () => interrupt.abort(new Error('interrupted by SIGTERM')));
const out = printer(process.stdout);
const log = printer(process.stderr);
const interactive = process.stderr.isTTY === true && process.env.TERM !== 'dumb';
const width = process.stdout.isTTY === true ? process.stdout.columns : undefined;
const code = await main(process.argv.slice(2), {
  out: (text) => out.print(visible(text)),
  log: (text) => log.print(visible(text)),
  raw: log.print,
  interactive,
  ...(width === undefined ? {} : { width }),
  columns: () => process.stderr.columns ?? 80,
  signal: interrupt.signal,
});
const lost = await out.lost();
if (lost !== null) log.print(`fsyn: cannot write to standard output: ${lost}\n`);
process.exitCode = lost === null ? code : exitCodes.error;
