import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { addon } from '../addon/addon.js';
import { FsynError, reasonOf } from '../errors.js';
import { packageInfo } from '../package.js';
import { type Command, type CommandIo, exitCodes } from './command.js';

/** Headers only; a published package does not depend on them. */
const headers = ['node-addon-api', 'node-api-headers'];

export const buildAddon: Command = {
  name: 'build-addon',
  summary: 'compile the native addon where no prebuilt one fits',
  description:
    'Fetches the headers of Node-API with npm and compiles the addon inside the installed package. Needs CMake >= 3.24,\n' +
    'a C++20 compiler and the npm registry. Where the package comes with an addon this command is not needed.',
  options: {},
  async run(_values, io) {
    const { root } = packageInfo();
    const build = join(root, 'build');
    const modules = join(build, 'headers');
    const made = join(build, 'addon');
    mkdirSync(modules, { recursive: true });
    await run('cmake', ['--version'], { ...io, log: () => {} }, 'CMake >= 3.24 is needed.');
    const install = [
      'install',
      '--prefix',
      modules,
      '--no-save',
      '--no-audit',
      '--no-fund',
      '--ignore-scripts',
    ];
    await run(
      'npm',
      [...install, ...wanted(root)],
      io,
      'The npm registry is needed for two packages of headers.',
    );
    const options = [`-DFSYN_NODE_MODULES=${join(modules, 'node_modules')}`, '-DCMAKE_BUILD_TYPE=Release'];
    await run('cmake', ['-S', root, '-B', made, ...options], io, 'A C++20 compiler is needed.');
    const target = ['--build', made, '--target', 'fsyn', '--config', 'Release', '--parallel', '2'];
    await run('cmake', target, io, 'The compiler must know C++20.');
    mkdirSync(join(build, 'Release'), { recursive: true });
    renameSync(builtFile(made), join(build, 'Release', 'fsyn.node'));
    addon();
    io.out(`${join(build, 'Release', 'fsyn.node')}: built and loaded\n`);
    return exitCodes.ok;
  },
};

/** The headers in the versions that this package was made with. */
function wanted(root: string): string[] {
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    devDependencies: Readonly<Record<string, string>>;
  };
  return headers.map((name) => `${name}@${devDependencies[name]}`);
}

/** Generators for several configurations put what they make into a folder of its own. */
function builtFile(folder: string): string {
  const places = [folder, join(folder, 'Release')].map((place) => join(place, 'fsyn.node'));
  const found = places.find((place) => existsSync(place));
  if (found === undefined)
    throw new FsynError(
      'ADDON_NOT_FOUND',
      `The build made no fsyn.node in ${folder}: ${readdirSync(folder)}`,
    );
  return found;
}

/** Runs a program whose output goes to the log. */
async function run(program: string, args: readonly string[], io: CommandIo, need: string): Promise<void> {
  // npm is a script on Windows, which only a shell starts.
  const shell = process.platform === 'win32';
  const line = [program, ...args].join(' ');
  await new Promise<void>((resolve, reject) => {
    const failed = (reason: string, cause?: unknown) =>
      reject(new FsynError('ADDON_NOT_FOUND', `${line}: ${reason}. ${need}`, { cause }));
    const child = spawn(program, shell ? args.map((arg) => `"${arg}"`) : args, {
      shell,
      signal: io.signal,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.on('data', (text) => io.log(String(text)));
    child.stderr.on('data', (text) => io.log(String(text)));
    child.on('error', (error) => failed(reasonOf(error), error));
    child.on('close', (status) => (status === 0 ? resolve() : failed(`exit code ${status}`)));
  });
}
