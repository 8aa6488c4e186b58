// What package.json says in the published package only. `npm pack` and `npm publish` call it before and behind:
// `node tools/manifest.mjs publish | restore`. A clone cannot depend on packages of a version that is not out yet.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

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

/** Where the project lies, as the service says that publishes it (GITHUB_REPOSITORY: owner/name). */
export function places() {
  const { GITHUB_REPOSITORY: name, GITHUB_SERVER_URL: server = 'https://github.com' } = process.env;
  if (!name) {
    console.error(
      'GITHUB_REPOSITORY is not set: the package will name no repository, bug tracker or home page',
    );
    return {};
  }
  const url = `${server}/${name}`;
  return {
    repository: { type: 'git', url: `git+${url}.git` },
    bugs: `${url}/issues`,
    homepage: `${url}#readme`,
  };
}
