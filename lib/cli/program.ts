import {
  Command as CommanderCommand,
  CommanderError,
  type OptionValues as CommanderValues,
  Option,
} from 'commander';
import { type Command, type OptionValue, OptionValues, readOption, UsageError } from './command.js';
import { readConfig } from './config.js';

/** Where help pages go, and how wide they may be. */
export interface ProgramOutput {
  readonly out: (text: string) => void;
  readonly width?: number;
}

/**
 * The whole command line as commander knows it: commands, options, help pages and what shells complete.
 *
 * @param run does the work of the command that was named
 */
export function buildProgram(
  commands: readonly Command[],
  version: string,
  output: ProgramOutput,
  run: (command: Command, values: OptionValues) => Promise<void>,
): CommanderCommand {
  const program = new CommanderCommand('fsyn')
    .description('Synergistic faithfulness of VLM explainers.')
    .version(version, '-v, --version', 'print the version')
    .helpOption('-h, --help', 'show this page')
    .helpCommand('help [command]', 'show the page of a command')
    .configureHelp({ showGlobalOptions: false });
  quiet(program, output);
  for (const command of commands) {
    const described = describeCommand(command, output);
    described.action(() => run(command, valuesOf(command, described)));
    program.addCommand(described);
  }
  return program;
}

/** Parses a command's arguments; throws UsageError naming the option, what was expected and what came. */
export function parseOptions(command: Command, args: readonly string[]): OptionValues {
  let values: OptionValues | undefined;
  const described = describeCommand(command, { out: () => {} });
  described.action(() => {
    values = valuesOf(command, described);
  });
  try {
    described.parse([...args], { from: 'user' });
  } catch (error) {
    throw usageOf(error);
  }
  return values!;
}

/** The help page of a command. */
export function commandHelp(command: Command, width?: number): string {
  return describeCommand(command, {
    out: () => {},
    ...(width === undefined ? {} : { width }),
  }).helpInformation();
}

/** What commander says of a mistake, in our words. */
export function usageOf(error: unknown): unknown {
  if (!(error instanceof CommanderError)) return error;
  const [first, hint] = error.message.replace(/^error: /, '').split('\n');
  const said = `${first[0].toUpperCase()}${first.slice(1)}`;
  return new UsageError(hint === undefined ? said : `${said} ${hint}`);
}

function describeCommand(command: Command, output: ProgramOutput): CommanderCommand {
  const described = new CommanderCommand(command.name)
    .summary(command.summary)
    .description(descriptionOf(command))
    .helpOption('-h, --help', 'show this page')
    // Help texts name choices and defaults where they matter.
    .configureHelp({ optionDescription: ({ description }) => description });
  quiet(described, output);
  for (const [name, spec] of Object.entries(command.options)) {
    const value = spec.kind === 'flag' ? '' : ` <${spec.value ?? spec.kind.toUpperCase()}>`;
    const fallback =
      spec.fallback === undefined || spec.kind === 'flag' ? '' : ` (default ${String(spec.fallback)})`;
    const option = new Option(`--${name}${value}`, `${spec.help}${fallback}`);
    if (spec.kind !== 'flag') option.argParser((text, before?: string[]) => [...(before ?? []), text]);
    const offered = spec.choices ?? spec.known;
    if (offered) option.argChoices = [...offered];
    described.addOption(option);
  }
  // Counted in valuesOf, whose message names what came.
  described.allowExcessArguments(true);
  if (command.operand) {
    described.argument(`[${command.operand.name}]`, command.operand.help);
    described.usage(`[options] ${command.operand.value}`);
  }
  return described;
}

/**
 * Lines are broken where the terminal ends, not where the source does; indented ones (examples) stay as they
 * are.
 */
function descriptionOf({ summary, description }: Command): string {
  const lines: string[] = [];
  for (const line of description.split('\n')) {
    const last = lines.at(-1);
    if (last === undefined || line.startsWith(' ') || last.startsWith(' ')) lines.push(line);
    else lines[lines.length - 1] = `${last} ${line}`;
  }
  return `${summary[0].toUpperCase()}${summary.slice(1)}.\n\n${lines.join('\n')}`;
}

/** Mistakes are thrown, and printed in one place. */
function quiet(command: CommanderCommand, { out, width }: ProgramOutput): void {
  command.exitOverride().configureOutput({
    writeOut: out,
    writeErr: () => {},
    outputError: () => {},
    getOutHelpWidth: () => width ?? 100,
    getErrHelpWidth: () => width ?? 100,
  });
}

/** Options of the command line before those of a configuration file before the command's own. */
function valuesOf(command: Command, described: CommanderCommand): OptionValues {
  checkOperands(command, described.args);
  const given = described.opts<CommanderValues>();
  const typed = new Map<string, OptionValue>();
  for (const option of described.options) {
    const name = option.long!.slice(2);
    const value = given[option.attributeName()] as true | readonly string[] | undefined;
    if (value !== undefined)
      typed.set(name, value === true ? true : readOption(name, command.options[name], value));
  }
  const path = typed.get('config') as string | undefined;
  const configured = path === undefined ? new Map<string, OptionValue>() : readConfig(command, path);
  const values = new Map(
    Object.entries(command.options).map(([name, { fallback }]) => [
      name,
      typed.get(name) ?? configured.get(name) ?? fallback,
    ]),
  );
  if (command.operand) values.set(command.operand.name, described.args[0]);
  return new OptionValues(values);
}

function checkOperands({ operand }: Command, given: readonly string[]): void {
  if (given.length === (operand ? 1 : 0)) return;
  const expected = operand ? `one ${operand.value}` : 'options only';
  throw new UsageError(`Expected ${expected} but received ${given.length === 0 ? 'none' : given.join(' ')}.`);
}
