import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packageInfo } from '../../lib/package.js';
import { type FolderOwner, lockFile, lockFolder } from '../../lib/runner/folder-lock.js';

const built = join(packageInfo().root, 'dist/lib/runner/folder-lock.js');
const linux = process.platform === 'linux';
let folder: string;
beforeEach(() => {
  if (!existsSync(built)) throw new Error('build first: npm run build:ts');
  folder = mkdtempSync(join(tmpdir(), 'fsyn-lock-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const lock = () => join(folder, lockFile);
const owner = () => JSON.parse(readFileSync(lock(), 'utf8')) as FolderOwner;

/** Runs a script that knows `lockFolder` and `folder`. */
function child(script: string): ChildProcess {
  const head = `import { lockFolder } from ${JSON.stringify(pathToFileURL(built).href)};
const folder = ${JSON.stringify(folder)};\n`;
  return spawn(process.execPath, ['--input-type=module', '-e', head + script], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** What it printed, and how it ended. */
function ended(process: ChildProcess): Promise<{ out: string; log: string; end: number | string | null }> {
  let [out, log] = ['', ''];
  process.stdout?.on('data', (text) => (out += text));
  process.stderr?.on('data', (text) => (log += text));
  return new Promise((resolve) =>
    process.once('close', (code, signal) => resolve({ out, log, end: signal ?? code })),
  );
}

describe('the lock of a results folder', () => {
  it('refuses a second taking by the owner’s name until it is given back', () => {
    const giveBack = lockFolder(folder);
    expect(owner()).toMatchObject({ host: hostname(), pid: process.pid });
    expect(() => lockFolder(folder)).toThrow(
      new RegExp(`Process ${process.pid} on ${hostname()} has been working in this folder since 20`),
    );
    giveBack();
    expect(readdirSync(folder)).toEqual([]);
    lockFolder(folder)();
  });

  it('is believed while its process lives and taken over when it was killed', async () => {
    const holder = child(`lockFolder(folder); console.log('mine'); setInterval(() => {}, 1000);`);
    const end = ended(holder);
    await new Promise((resolve) => holder.stdout?.once('data', resolve));
    expect(() => lockFolder(folder)).toThrow(new RegExp(`Process ${holder.pid} on `));
    holder.kill('SIGKILL');
    expect((await end).end).toBe('SIGKILL');
    const giveBack = lockFolder(folder);
    expect(owner().pid).toBe(process.pid);
    giveBack();
    expect(readdirSync(folder)).toEqual([]);
  });

  const alter = (change: (owner: FolderOwner) => object) => {
    const giveBack = lockFolder(folder);
    const mine = owner();
    giveBack();
    writeFileSync(lock(), JSON.stringify({ ...mine, ...change(mine), token: 'abcd' }));
  };

  it.runIf(linux)('is stale where the process number belongs to another process now', () => {
    alter(({ origin }) => ({ origin: { ...origin, started: '1' } }));
    lockFolder(folder)();
    expect(readdirSync(folder)).toEqual([]);
  });

  it.runIf(linux && existsSync('/etc/machine-id'))('is stale after a reboot of the same machine', () => {
    alter(({ origin }) => ({ origin: { ...origin, boot: 'before' } }));
    lockFolder(folder)();
  });

  it.each([
    ['of another host', () => ({ host: 'elsewhere', pid: 999_999_999 })],
    [
      'of another container',
      ({ origin }: FolderOwner) => ({ pid: 999_999_999, origin: { ...origin, namespace: 'pid:[1]' } }),
    ],
    [
      'of another machine of the same name',
      ({ origin }: FolderOwner) => ({ pid: 999_999_999, origin: { ...origin, machine: 'other', boot: 'x' } }),
    ],
  ])('%s is believed, and the message says which file to delete', (_, change) => {
    alter(change);
    expect(() => lockFolder(folder)).toThrow(`If that process is gone, delete ${lock()}.`);
    expect(existsSync(lock())).toBe(true);
  });

  it.each(['', '{', 'null', '{"pid":1}'])('that says %j names no owner and is not taken', (text) => {
    writeFileSync(lock(), text);
    expect(() => lockFolder(folder)).toThrow(/owner\.json does not say whose the folder is/);
  });

  it('sweeps up what killed processes left on the way, and nothing younger', () => {
    const [old, young] = ['abc.new', 'def.new'].map((name) => `${lock()}.${name}`);
    for (const path of [old, young]) writeFileSync(path, '');
    utimesSync(old, new Date(0), new Date(0));
    lockFolder(folder)();
    expect([existsSync(old), existsSync(young)]).toEqual([false, true]);
  });

  it('has one owner at a time where four processes find the same stale one at the same moment', async () => {
    const script = `
import { createInterface } from 'node:readline';
let giveBack;
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'take') {
    try { giveBack = lockFolder(folder); console.log('got'); }
    catch (error) { console.log(error.code === 'RESULTS' ? 'refused' : error.stack); }
  } else { giveBack?.(); giveBack = undefined; console.log('back'); }
}`;
    const children = Array.from({ length: 4 }, () => child(script));
    const answers = children.map(({ stdout }) => createInterface({ input: stdout! })[Symbol.asyncIterator]());
    const tell = async (word: string) => {
      for (const { stdin } of children) stdin!.write(`${word}\n`);
      return Promise.all(answers.map(async (lines) => (await lines.next()).value));
    };
    const seen = new Set<string>();
    for (let round = 0; round < 150; round++) {
      alter(() => ({ pid: 999_999_999 }));
      seen.add((await tell('take')).sort().join());
      await tell('back');
    }
    for (const { stdin } of children) stdin!.end();
    await Promise.all(children.map(ended));
    expect([...seen]).toEqual(['got,refused,refused,refused']);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('passes between four processes that take, leave and die', async () => {
    // A mark made exclusively shows two owners at once. Each dies with the folder taken after some turns, and
    // is replaced.
    const script = `
import { rmSync, writeFileSync } from 'node:fs';
let turns = 0;
for (let tries = 0; turns < 8; tries++) {
  let giveBack;
  try { giveBack = lockFolder(folder); } catch (error) {
    if (error.code !== 'RESULTS') throw error;
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
    continue;
  }
  writeFileSync(folder + '/inside', String(process.pid), { flag: 'wx' });
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 2));
  rmSync(folder + '/inside');
  if (++turns === 8) process.kill(process.pid, 'SIGKILL');
  giveBack();
}`;
    const worker = async () => {
      for (let life = 0; life < 2; life++) {
        const { end, log } = await ended(child(script));
        expect([end, log]).toEqual(['SIGKILL', '']);
      }
    };
    await Promise.all(Array.from({ length: 4 }, worker));
    lockFolder(folder)();
    expect(readdirSync(folder).filter((name) => name === 'inside' || name === lockFile)).toEqual([]);
  });
});
