// What package.json says in the published package only. `npm pack` and `npm publish` call it before and
// behind: `node tools/manifest.mjs publish | restore`. A clone cannot depend on packages of a version that is
// not out yet.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { places } from './repository.mjs';

const kept = 'build/package.json.unpublished';
const [mode] = process.argv.slice(2);
if (mode === 'publish') {
  const { platforms } = await import('../dist/lib/addon/platform.js');
  const text = readFileSync('package.json', 'utf8');
  const manifest = JSON.parse(text);
  mkdirSync(dirname(kept), { recursive: true });
  if (!existsSync(kept)) writeFileSync(kept, text);
  manifest.optionalDependencies = Object.fromEntries(
    platforms.map((name) => [`@fsyn/${name}`, manifest.version]),
  );
  Object.assign(manifest, places());
  writeFileSync('package.json', `${JSON.stringify(manifest, null, 2)}\n`);
} else if (mode === 'restore') {
  renameSync(kept, 'package.json');
} else {
  console.error('usage: node tools/manifest.mjs publish | restore');
  process.exit(2);
}
