import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeVersion, hashCode } from '../lib/package.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fsyn-code-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(place: string, files: Readonly<Record<string, string>>): string {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, place, name)), { recursive: true });
    writeFileSync(join(root, place, name), text);
  }
  return hashCode(join(root, place, 'dist/lib'), join(root, place));
}

const files = {
  'dist/lib/index.js': 'export {};\n',
  'dist/lib/runner/run.js': 'run();\nagain();\n',
  'native/games/game.cpp': 'int main() {}\n',
  'bindings/addon.cpp': '// addon\n',
};

describe('the version of the code', () => {
  it('is the same wherever the same code lies, whatever its line ends', () => {
    const here = write('a', files);
    expect(here).toMatch(/^[0-9a-f]{12}$/u);
    expect(write('b', files)).toBe(here);
    expect(write('b', { 'dist/lib/runner/run.js': 'run();\r\nagain();\r\n' })).toBe(here);
  });

  it('is another one when code changes, moves or is added where numbers are made', () => {
    const before = write('a', files);
    const changes: Record<string, string>[] = [
      { 'dist/lib/runner/run.js': 'run();\nonce();\n' },
      { 'dist/lib/metrics/new.js': '' },
      { 'native/games/game.cpp': 'int main() { return 1; }\n' },
      { 'bindings/addon.cpp': '// another\n' },
    ];
    for (const [i, change] of changes.entries())
      expect(write(`changed${i}`, { ...files, ...change }), JSON.stringify(change)).not.toBe(before);
  });

  it('does not ask commands, reports, declarations and maps', () => {
    const before = write('a', files);
    expect(
      write('a', {
        'dist/lib/cli/bench.js': 'say();\n',
        'dist/lib/report/html.js': 'draw();\n',
        'dist/lib/speedup/arms.js': '',
        'dist/lib/runner/run.d.ts': 'export {};\n',
        'dist/lib/runner/run.js.map': '{}',
      }),
    ).toBe(before);
  });

  it('is known of the code that runs', () => {
    expect(codeVersion()).toMatch(/^[0-9a-f]{12}$/u);
    expect(codeVersion()).not.toBe(hashCode(root, root));
  });
});
