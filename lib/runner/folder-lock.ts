import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { FsynError, reasonOf } from '../errors.js';

export const lockFile = 'owner.json';

/** Where a process number means something. */
interface Origin {
  /** Hash of the machine's id: hosts of one name are told apart. */
  readonly machine: string;
  readonly boot: string;
  /** Of process numbers: containers on one machine have their own. */
  readonly namespace: string;
  /** Start of the process in clock ticks after boot. */
  readonly started: string;
}

/** Who works in a folder, as `owner.json` says it. */
export interface FolderOwner {
  readonly host: string;
  readonly pid: number;
  /** When it took the folder: ISO 8601, UTC. */
  readonly since: string;
  /**
   * What tells this process from another of the same number; texts are empty where the system does not say.
   */
  readonly origin: Origin;
  /** Names this one taking of the folder. */
  readonly token: string;
}

/**
 * Takes a results folder for this process until the returned function is called: a second process would write
 * over its rows.
 *
 * The lock is `owner.json` with host and process number, made whole and exclusively by a hard link. One whose
 * process of this host is gone (killed, its number used again, before a reboot) is stale and taken over.
 * Taking over is itself done under a lock named after the stale one's token, so that of several processes
 * that find it stale one gets it. A lock of another host, or of another container, cannot be judged from here
 * and is believed.
 *
 * @returns gives the folder back
 * @throws FsynError RESULTS naming the owner
 */
export function lockFolder(folder: string): () => void {
  const giveBack = take(join(folder, lockFile));
  sweep(folder);
  return giveBack;
}

function take(path: string): () => void {
  const mine = thisProcess();
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (create(path, mine)) return () => release(path, mine);
    const owner = readOwner(path);
    // Given back between the two looks.
    if (owner === undefined) continue;
    const state = stateOf(owner, mine);
    if (state !== 'gone') throw occupied(path, owner, state);
    if (takeOver(path, owner, mine)) return () => release(path, mine);
  }
  throw new FsynError('RESULTS', `Cannot take ${path}: other processes take and leave it all the time.`);
}

/** What processes left that were killed while they took the folder; nobody is at that for a minute. */
function sweep(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const left =
      name.startsWith(`${lockFile}.`) &&
      Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY) > 60_000;
    if (left) rmSync(path, { force: true });
  }
}

const attempts = 100;

/** Replaces a stale lock. False when another process was faster. */
function takeOver(path: string, stale: FolderOwner, mine: FolderOwner): boolean {
  const done = take(`${path}.${stale.token}`);
  try {
    if (readOwner(path)?.token !== stale.token) return false;
    const written = writeClaim(path, mine);
    renameSync(written, path);
    return true;
  } finally {
    done();
  }
}

/** Makes the lock unless it exists. It appears with its content: no reader ever sees half of it. */
function create(path: string, mine: FolderOwner): boolean {
  if (existsSync(path)) return false;
  const written = writeClaim(path, mine);
  try {
    linkSync(written, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    // File systems without hard links: exclusive all the same, though a reader may come between the two
    // steps.
    if (['EPERM', 'ENOTSUP', 'ENOSYS', 'EOPNOTSUPP', 'EMLINK'].includes(codeOf(error)))
      return createInPlace(path, mine);
    throw new FsynError('RESULTS', `Cannot write ${path}: ${reasonOf(error)}`, { cause: error });
  } finally {
    rmSync(written, { force: true });
  }
}

function createInPlace(path: string, mine: FolderOwner): boolean {
  try {
    writeFileSync(path, JSON.stringify(mine), { flag: 'wx' });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

function writeClaim(path: string, mine: FolderOwner): string {
  const claim = `${path}.${mine.token}.new`;
  try {
    writeFileSync(claim, `${JSON.stringify(mine)}\n`);
  } catch (cause) {
    throw new FsynError('RESULTS', `Cannot write ${claim}: ${reasonOf(cause)}`, { cause });
  }
  return claim;
}

function release(path: string, mine: FolderOwner): void {
  // Somebody may have deleted the file by hand and taken the folder since.
  if (readOwner(path)?.token === mine.token) rmSync(path, { force: true });
}

/** The owner that a lock names; undefined where there is none. */
function readOwner(path: string): FolderOwner | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined;
    throw new FsynError('RESULTS', `Cannot read ${path}: ${reasonOf(cause)}`, { cause });
  }
  try {
    const { host, pid, since, origin, token } = JSON.parse(text) as FolderOwner;
    const { machine, boot, namespace, started } = origin;
    const texts = [host, since, machine, boot, namespace, started, token];
    if (
      texts.every((value) => typeof value === 'string') &&
      Number.isSafeInteger(pid) &&
      pid > 0 &&
      /^[0-9a-f]+$/.test(token)
    )
      return { host, pid, since, origin, token };
  } catch {
    // Said below.
  }
  throw new FsynError(
    'RESULTS',
    `${path} does not say whose the folder is. Delete it if no other process works there.`,
  );
}

function occupied(path: string, { host, pid, since }: FolderOwner, state: 'works' | 'unknown'): FsynError {
  const elsewhere = state === 'works' ? '' : ` If that process is gone, delete ${path}.`;
  return new FsynError(
    'RESULTS',
    `Process ${pid} on ${host} has been working in this folder since ${since} (${path}). ` +
      `Wait for it, or give this run another folder; shards get one each and are put together with \`fsyn merge\`.${elsewhere}`,
  );
}

/** Whether an owner still works, as far as this process can know. */
function stateOf({ host, pid, origin }: FolderOwner, mine: FolderOwner): 'works' | 'gone' | 'unknown' {
  const here = mine.origin;
  if (host !== mine.host || origin.machine !== here.machine) return 'unknown';
  if (origin.boot !== here.boot) return origin.machine === '' ? 'unknown' : 'gone';
  if (origin.namespace !== here.namespace) return 'unknown';
  return isAlive(pid) && origin.started === startOf(pid) ? 'works' : 'gone';
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: there, and somebody else's.
    return codeOf(error) === 'EPERM';
  }
  // A killed process whose parent has not asked after it keeps its number, but works no more.
  return !['Z', 'X'].includes(statOf(pid)?.[0] ?? '');
}

function startOf(pid: number): string {
  return statOf(pid)?.[19] ?? '';
}

/**
 * Fields of /proc/PID/stat behind the name (proc(5)): number 3, the state, comes first, number 22 is the
 * start time.
 */
function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

function thisProcess(): FolderOwner {
  return {
    host: hostname(),
    pid: process.pid,
    since: new Date().toISOString(),
    origin: {
      machine: machineId(),
      boot: textOf('/proc/sys/kernel/random/boot_id'),
      namespace: namespaceOf(),
      started: startOf(process.pid),
    },
    token: randomBytes(8).toString('hex'),
  };
}

/** Not the id itself, which is not to leave the machine (machine-id(5)). */
function machineId(): string {
  const id = textOf('/etc/machine-id');
  return id === '' ? '' : createHash('sha256').update(`fsyn ${id}`).digest('hex').slice(0, 16);
}

function namespaceOf(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException | undefined)?.code ?? '');
}
