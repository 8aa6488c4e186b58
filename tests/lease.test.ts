import { describe, expect, test } from 'vitest';
import { Lease, Leases, Once, remember } from '../lib/lease.js';

/** A promise that the test settles. */
function pending<T>() {
  let settle = (_: T) => {};
  let fail = (_: Error) => {};
  const promise = new Promise<T>((resolve, reject) => {
    settle = resolve;
    fail = reject;
  });
  return { promise, settle, fail };
}

/** Lets everything run that is ready to run. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('remember', () => {
  test('finds once for all who ask, while it is sought and afterwards', async () => {
    const known = new Map<string, Promise<number>>();
    const { promise, settle } = pending<number>();
    let sought = 0;
    const find = () => {
      sought++;
      return promise;
    };
    const asked = [remember(known, 'a', find), remember(known, 'a', find)];
    settle(7);
    expect(await Promise.all([...asked, remember(known, 'a', find)])).toEqual([7, 7, 7]);
    expect(sought).toBe(1);
    expect(await remember(known, 'b', async () => 8)).toBe(8);
  });

  test('a failure reaches everybody who waits and is forgotten', async () => {
    const known = new Map<string, Promise<number>>();
    const { promise, fail } = pending<number>();
    const asked = [remember(known, 'a', () => promise), remember(known, 'a', async () => 1)];
    fail(new Error('no memory'));
    const results = await Promise.allSettled(asked);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(known.size).toBe(0);
    expect(await remember(known, 'a', async () => 2)).toBe(2);
  });

  test('a failure that arrives late does not forget what was found since', async () => {
    const known = new WeakMap<object, Promise<number>>();
    const key = {};
    const { promise, fail } = pending<number>();
    const first = remember(known, key, () => promise);
    known.delete(key);
    const second = remember(known, key, async () => 2);
    fail(new Error('late'));
    await expect(first).rejects.toThrow('late');
    expect(known.get(key)).toBe(second);
  });

  test('a search that throws at once leaves nothing behind', () => {
    const once = new Once<number>();
    const find = () => {
      throw new RangeError('at once');
    };
    expect(() => once.get(find)).toThrow(RangeError);
    return expect(once.get(async () => 3)).resolves.toBe(3);
  });
});

describe('Lease', () => {
  test('is closed behind the last user, once', async () => {
    const closed: string[] = [];
    const lease = new Lease(Promise.resolve('session'), (value) => closed.push(value));
    const { promise, settle } = pending<void>();
    const work = lease.use(async (value) => {
      await promise;
      return value.length;
    });
    const hold = lease.hold();
    await lease.retire();
    settle();
    expect(await work).toBe(7);
    await turn();
    expect(closed).toEqual([]);
    hold[Symbol.dispose]();
    hold[Symbol.dispose]();
    await turn();
    expect(closed).toEqual(['session']);
    await lease.retire();
    expect(closed).toEqual(['session']);
  });

  test('retiring resolves when what nobody uses is closed, after its opening', async () => {
    const { promise, settle } = pending<string>();
    const closed: string[] = [];
    const lease = new Lease(promise, (value) => closed.push(value));
    const retiring = lease.retire();
    await turn();
    expect(closed).toEqual([]);
    settle('late');
    await retiring;
    expect(closed).toEqual(['late']);
  });

  test('what is already open is closed without waiting', () => {
    const closed: string[] = [];
    const lease = new Lease('open', (value) => closed.push(value));
    {
      using _ = lease.hold();
      void lease.retire();
      expect(closed).toEqual([]);
    }
    expect(closed).toEqual(['open']);
  });

  test('a failed opening is told to its users only, failed work releases', async () => {
    const refused = new Lease(Promise.reject(new Error('refused')), () => expect.unreachable());
    await expect(refused.use(() => 0)).rejects.toThrow('refused');
    await refused.retire();
    const closed: string[] = [];
    const lease = new Lease(Promise.resolve('x'), (value) => closed.push(value));
    await expect(lease.use(() => Promise.reject(new Error('work')))).rejects.toThrow('work');
    await lease.retire();
    expect(closed).toEqual(['x']);
  });
});

describe('Leases', () => {
  test('opens each key once and again after retiring', async () => {
    const log: string[] = [];
    const leases = new Leases<string, string>((value) => log.push(`close ${value}`));
    const open = (key: string) => async () => {
      log.push(`open ${key}`);
      return key;
    };
    const use = (key: string) => leases.use(key, open(key), (value) => value);
    expect(await Promise.all([use('a'), use('a'), use('b')])).toEqual(['a', 'a', 'b']);
    expect(leases.keys).toEqual(['a', 'b']);
    await leases.retire();
    expect(leases.keys).toEqual([]);
    await use('a');
    expect(log).toEqual(['open a', 'open b', 'close a', 'close b', 'open a']);
  });

  test('what is at work stays open while the next one opens beside it', async () => {
    const log: string[] = [];
    const leases = new Leases<string, number>((value) => log.push(`close ${value}`));
    const { promise, settle } = pending<void>();
    const slow = leases.use(
      'a',
      async () => 1,
      () => promise,
    );
    await turn();
    await leases.retire();
    expect(await leases.use('a', async () => 2, String)).toBe('2');
    expect(log).toEqual([]);
    settle();
    await slow;
    await turn();
    expect(log).toEqual(['close 1']);
    expect(leases.keys).toEqual(['a']);
  });

  test('an opening that failed is forgotten, and only that', async () => {
    const leases = new Leases<string, number>(() => undefined);
    const refuse = () => Promise.reject(new Error('refused'));
    await expect(leases.use('a', refuse, String)).rejects.toThrow('refused');
    expect(leases.keys).toEqual([]);
    expect(await leases.use('a', async () => 5, String)).toBe('5');
  });
});
