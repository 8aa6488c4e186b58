import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A server of the distribution's package on a port and in a folder of its own. */
export interface RedisServer {
  readonly url: string;
  readonly password: string;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  /** Starts it again on what it kept. */
  start(): Promise<void>;
  /** Ends it and takes its folder away. */
  remove(): Promise<void>;
}

/** `redis-server` or `valkey-server`; undefined where neither is installed. */
export function redisProgram(): string | undefined {
  return ['redis-server', 'valkey-server'].find((name) => spawnSync(name, ['--version']).status === 0);
}

/** Starts a server that keeps every command (AOF, synced each second) and wants a password. */
export async function startRedis(program: string): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'fsyn-redis-'));
  const port = await freePort();
  const password = 'pass-word';
  let child: ChildProcess | undefined;
  const start = async () => {
    const options = {
      port,
      bind: '127.0.0.1',
      dir: folder,
      appendonly: 'yes',
      save: '',
      requirepass: password,
    };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    child = spawn(program, args, { stdio: 'ignore' });
    for (let i = 0; !(await answers(port)); i++) {
      if (i === 200) throw new Error(`${program} does not answer`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  };
  const kill = async () => {
    const ended = new Promise((resolve) => child?.once('close', resolve));
    if (child?.kill('SIGKILL')) await ended;
    child = undefined;
  };
  await start();
  return {
    url: `redis://:${password}@127.0.0.1:${port}`,
    password,
    start,
    kill,
    remove: async () => {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    // A server that still reads its file answers -LOADING.
    socket.once('data', (data) => end(/^[-+](NOAUTH|PONG)/.test(String(data))));
    socket.once('error', () => end(false));
    socket.once('connect', () => socket.write('PING\r\n'));
  });
}
