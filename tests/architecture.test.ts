import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { packageInfo } from '../lib/package.js';

const { root } = packageInfo();

/** Every import of every source file by path from the root, types too. */
function readImports(folders: readonly string[]): Map<string, string[]> {
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => join(folder, file).replaceAll('\\', '/')),
  );
  const specifier = /(?:from|import|declare module)\s*\(?\s*'(\.{1,2}\/[^']+)\.js'/g;
  return new Map(
    files.map((file) => {
      const text = readFileSync(join(root, file), 'utf8');
      const found = [...text.matchAll(specifier)].map(([, path]) => join(dirname(file), `${path}.ts`));
      const targets = found.map((path) => path.replaceAll('\\', '/')).filter((path) => path !== file);
      return [file, [...new Set(targets)]];
    }),
  );
}

/** One circle as a path that ends where it begins, or null. */
function findCircle(graph: ReadonlyMap<string, readonly string[]>): string[] | null {
  const done = new Set<string>();
  const walk = (node: string, path: readonly string[]): string[] | null => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return null;
    for (const next of graph.get(node) ?? []) {
      const circle = walk(next, [...path, node]);
      if (circle) return circle;
    }
    done.add(node);
    return null;
  };
  for (const node of graph.keys()) {
    const circle = walk(node, []);
    if (circle) return circle;
  }
  return null;
}

/** `lib/vlm/dual/towers.ts` is in `lib/vlm`, `lib/errors.ts` in `lib`, everything of bench in `bench`. */
function roomOf(file: string): string {
  const [top, room, ...rest] = file.split('/');
  return top === 'lib' && rest.length > 0 ? `lib/${room}` : top;
}

/** The table of docs/architecture.md: what each room may use. */
function readTable(): Map<string, string> {
  const text = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const rows = [...text.matchAll(/^\| `((?:lib|bench)[^`]*)` \| [^|]+ \| ([^|]+) \|$/gm)];
  return new Map(rows.map(([, room, uses]) => [room, uses.trim()]));
}

/**
 * Problems of a set of imports against the table: circles, rooms that it lacks, uses that it does not allow.
 */
function problems(imports: ReadonlyMap<string, readonly string[]>, table: ReadonlyMap<string, string>) {
  const found: string[] = [];
  const circle = findCircle(imports);
  if (circle) found.push(`circle of files: ${circle.join(' -> ')}`);
  // A file directly in lib that imports no room stands on the ground.
  const isGround = (file: string): boolean =>
    roomOf(file) === 'lib' && (imports.get(file) ?? []).every((target) => isGround(target));
  const rooms = new Map<string, string[]>();
  for (const [file, targets] of imports) {
    const room = roomOf(file);
    const allowed = table.get(room);
    if (allowed === undefined) found.push(`${file}: the table has no room ${room}`);
    for (const target of targets) {
      if (!imports.has(target)) found.push(`${file}: ${target} does not exist`);
      const other = roomOf(target);
      if (other === room || isGround(target)) continue;
      rooms.set(room, [...(rooms.get(room) ?? []), other]);
      if (allowed !== 'all' && !allowed?.split(', ').some((name) => `lib/${name}` === other))
        found.push(`${file} imports ${target}, but ${room} may use: ${allowed}`);
    }
  }
  const roomCircle = findCircle(rooms);
  if (roomCircle) found.push(`circle of rooms: ${roomCircle.join(' -> ')}`);
  return found;
}

describe('the walls of the house', () => {
  const imports = readImports(['lib', 'bench']);
  const table = readTable();

  test('the table of docs/architecture.md names every folder and every use', () => {
    const folders = readdirSync(join(root, 'lib'), { withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    );
    const known = [...table.keys()].filter((room) => room.startsWith('lib/'));
    expect(known.sort()).toEqual(folders.map(({ name }) => `lib/${name}`).sort());
    expect(imports.size).toBeGreaterThan(200);
    expect(problems(imports, table)).toEqual([]);
  });

  test('the rooms of the table form no circle', () => {
    const uses = new Map(
      [...table]
        .filter(([, allowed]) => allowed !== 'all' && allowed !== '-')
        .map(([room, allowed]) => [room, allowed.split(', ').map((name) => `lib/${name}`)]),
    );
    expect(findCircle(uses)).toBeNull();
  });

  const withImport = (file: string, target: string) =>
    new Map([...imports].map(([name, targets]) => [name, name === file ? [...targets, target] : targets]));

  test('a circle of files, a climbing import and an unknown room are found', () => {
    const cells = 'lib/cells/table.ts';
    expect(problems(withImport(cells, 'lib/cells/corners.ts'), table).join()).toMatch(
      /circle of files: .*lib\/cells\/(table|corners)/,
    );
    expect(problems(withImport('lib/metrics/steps.ts', 'lib/vlm/types.ts'), table).join()).toMatch(
      /lib\/metrics\/steps.ts imports lib\/vlm\/types.ts, but lib\/metrics may use/,
    );
    expect(problems(withImport(cells, 'lib/measure/evaluate.ts'), table).join()).toMatch(
      /lib\/cells may use/,
    );
    const fewer = new Map([...table].filter(([room]) => room !== 'lib/cells'));
    expect(problems(imports, fewer).join()).toMatch(/the table has no room lib\/cells/);
  });
});
