import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageInfo } from '../package.js';
import { type Command, exitCodes, UsageError } from './command.js';

export const bridge: Command = {
  name: 'bridge',
  summary: 'print the helper for explainers in another language',
  description:
    'Prints a file that lets a program in another language explain for fsyn; it needs nothing but that language.\n' +
    '  fsyn bridge python > fsyn_bridge.py\n' +
    'Then: fsyn bench --explainers "exec:python3 my_explainer.py" (docs/guides/explainers-in-python.md).',
  options: {},
  operand: { name: 'language', value: 'LANGUAGE', help: 'python' },
  async run(values, io) {
    const language = values.string('language');
    if (language !== 'python')
      throw new UsageError(`Expected python for LANGUAGE but received ${JSON.stringify(language)}.`);
    io.out(await readFile(join(packageInfo().root, 'lib', 'bridge', 'fsyn_bridge.py'), 'utf8'));
    return exitCodes.ok;
  },
};
