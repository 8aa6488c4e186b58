import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import ndarray from 'ndarray';
import { expect, test } from 'vitest';
import { Session } from '../../lib/inference/session.js';
import { fixture, values } from './support.js';

const x = () => ndarray(new Float32Array(256 * 256).fill(0.01), [256, 256]);
const iterations = (n: number) => ndarray(new BigInt64Array([BigInt(n)]), []);

test('timers keep firing during a run', async () => {
  const session = await Session.load(fixture('loop'));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await session.run({ n: iterations(800), x: x() });
  clearInterval(timer);
  // A run that blocked the event loop would let no tick through, however fast or slow the machine is.
  expect(ticks).toBeGreaterThan(3);
});

test('several runs at once agree with one run', async () => {
  const session = await Session.load(fixture('loop'));
  const alone = values((await session.run({ n: iterations(20), x: x() })).y);
  const together = await Promise.all(
    Array.from({ length: 6 }, () => session.run({ n: iterations(20), x: x() })),
  );
  for (const { y } of together) expect(values(y)).toEqual(alone);
});

test('aborting rejects with the reason and leaves the session usable', async () => {
  const session = await Session.load(fixture('loop'));
  const controller = new AbortController();
  const reason = new Error('enough');
  const pending = session.run({ n: iterations(1_000_000_000), x: x() }, { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 20);
  await expect(pending).rejects.toBe(reason);
  const { y } = await session.run({ n: iterations(1), x: x() });
  expect(values(y)).toHaveLength(65536);
  const signal = AbortSignal.abort(reason);
  await expect(session.run({ n: iterations(1), x: x() }, { signal })).rejects.toBe(reason);
});

test('disposing during a run lets it finish', async () => {
  const session = await Session.load(fixture('loop'));
  const pending = session.run({ n: iterations(100), x: x() });
  session.dispose();
  expect(values((await pending).y)).toHaveLength(65536);
});

// The runs of these children would take hours: an exit that waited for them, or crashed, would show.
const child = join(import.meta.dirname, 'exit-child.mjs');
test.each([
  ['process.exit', 7],
  ['uncaught', 1],
  ['worker.terminate', 0],
  ['worker.exit', 0],
  ['many-workers', 0],
])('the process ends cleanly on %s during runs', (way, status) => {
  const result = spawnSync(process.execPath, [child, way, fixture('loop')], {
    encoding: 'utf8',
    timeout: 50_000,
  });
  expect({ status: result.status, signal: result.signal }, result.stderr).toEqual({ status, signal: null });
  if (way === 'uncaught') expect(result.stderr).toContain('thrown on purpose');
});
