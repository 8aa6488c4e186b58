// Makes the package of one system from a built addon and onnxruntime-node's library, and packs it:
// `node tools/platform-package.mjs NAME fsyn.node [FOLDER]` writes FOLDER/fsyn-NAME-VERSION.tgz
// (build/packages).
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { platforms } from '../dist/lib/addon/platform.js';
import { places } from './repository.mjs';

const [name, addon, out = 'build/packages'] = process.argv.slice(2);
if (!platforms.includes(name) || !existsSync(addon ?? '')) {
  console.error(`usage: node tools/platform-package.mjs ${platforms.join('|')} fsyn.node [FOLDER]`);
  process.exit(2);
}
const [system, cpu] = name.split('-');
const os = system.replace('musl', '');
const libc = { linux: ['glibc'], linuxmusl: ['musl'] }[system];

const root = JSON.parse(readFileSync('package.json', 'utf8'));
const folder = resolve(out, name);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
copyFileSync(addon, join(folder, 'fsyn.node'));
copyFileSync('LICENSE', join(folder, 'LICENSE'));
const onnxruntime = copyRuntime();
const what = onnxruntime ? `the native addon and ONNX Runtime ${onnxruntime.version}` : 'the native addon';
const manifest = {
  name: `@fsyn/${name}`,
  version: root.version,
  description: `fsyn for ${name}: ${what}. Installed by fsyn itself.`,
  license: root.license,
  author: root.author,
  ...places(),
  os: [os],
  cpu: [cpu],
  libc,
  engines: root.engines,
  files: ['*'],
  onnxruntime,
};
writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
writeFileSync(join(folder, 'README.md'), `# @fsyn/${name}\n\n${manifest.description}\n`);
execFileSync('npm', ['pack', '--silent', '--pack-destination', resolve(out)], {
  cwd: folder,
  stdio: 'inherit',
  shell: process.platform === 'win32',
});

/** Copies ONNX Runtime's library for the system, if there is one; it is not published for musl. */
function copyRuntime() {
  if (system === 'linuxmusl') return undefined;
  const package_ = dirname(dirname(createRequire(import.meta.url).resolve('onnxruntime-node')));
  const { version } = JSON.parse(readFileSync(join(package_, 'package.json'), 'utf8'));
  const library = {
    linux: 'libonnxruntime.so.1',
    darwin: 'libonnxruntime.1.dylib',
    win32: 'onnxruntime.dll',
  }[os];
  const from = join(package_, 'bin', 'napi-v6', os, cpu);
  copyFileSync(join(from, library), join(folder, library));
  // Direct3D's part of the Windows library is loaded with it.
  for (const beside of os === 'win32' ? ['DirectML.dll'] : [])
    copyFileSync(join(from, beside), join(folder, beside));
  copyFileSync('tools/onnxruntime-license.txt', join(folder, 'ONNXRUNTIME-LICENSE'));
  return { version, library };
}
