import { describe, expect, it, vi } from 'vitest';
import { parseAddress, passwordVariable } from '../../lib/queue/address.js';
import { checkQueueName } from '../../lib/queue/connect.js';

const errorOf = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    return error as Error & { code: string };
  }
  throw new Error('nothing was thrown');
};

describe('the address of a queue', () => {
  it('is read in three forms, and shown without its secrets', () => {
    expect(parseAddress('redis://localhost', {})).toEqual({
      driver: { host: 'localhost', port: 6379, db: 0 },
      shown: 'redis://localhost:6379',
    });
    expect(parseAddress('rediss://me:p%40ss@[::1]:7000/3', {})).toEqual({
      driver: { host: '::1', port: 7000, db: 3, username: 'me', password: 'p@ss', tls: {} },
      shown: 'rediss://[::1]:7000/3',
    });
    expect(parseAddress('unix:///run/redis/r.sock', {})).toEqual({
      driver: { path: '/run/redis/r.sock', db: 0 },
      shown: 'unix:///run/redis/r.sock',
    });
  });

  it('takes the password of the environment where it has none', () => {
    const environment = { [passwordVariable]: 'other' };
    expect(parseAddress('redis://localhost', environment).driver.password).toBe('other');
    expect(parseAddress('redis://:own@localhost', environment).driver.password).toBe('own');
  });

  it.each([
    '',
    'localhost:6379',
    'http://u:hidden@h',
    'redis://',
    'redis://:hidden@h/x',
    'redis://:hidden@h/1?db=2',
    'redis://:hidden@h:99999',
    'redis://:hidden%zz@h',
    'unix://',
    'postgres://u:hidden@h/x',
  ])('is refused without being repeated: %s', (text) => {
    const error = errorOf(() => parseAddress(text, {}));
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(error.message).toContain('Expected');
    expect(error.message).not.toContain('hidden');
  });

  it('has a name of plain letters', () => {
    expect(() => checkQueueName('night.run-2_a')).not.toThrow();
    for (const name of ['', 'a:b', 'a b', 'x'.repeat(65)])
      expect(errorOf(() => checkQueueName(name))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('the engine', () => {
  it('that is not installed is an error with the command that installs it', async () => {
    vi.doMock('bullmq', () => {
      throw new Error('Cannot find package');
    });
    vi.resetModules();
    const { connectQueue } = await import('../../lib/queue/connect.js');
    await expect(connectQueue({ url: 'redis://localhost', onNote: () => {} })).rejects.toMatchObject({
      code: 'QUEUE',
      message: expect.stringContaining('npm install bullmq@6 ioredis@5'),
    });
    vi.doUnmock('bullmq');
  });
});
