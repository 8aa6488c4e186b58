// Ends processes while they work: `node exits.mjs [times=500]`, two thirds of them in the middle of
// explanations, one third while sessions load. Prints how many ended otherwise than they asked to.
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const child = join(import.meta.dirname, 'exit-child.mjs');

function exitOf(kind, delay) {
  const started = spawn(process.execPath, [child, kind, String(delay)], { stdio: 'ignore' });
  return new Promise((resolve) => started.once('exit', (code, signal) => resolve(signal ?? code)));
}

const times = Number(process.argv[2] ?? 500);
const others = [];
for (let i = 0; i < times; i++) {
  const exit = i % 3 < 2 ? exitOf('explanations', 300 * Math.random()) : exitOf('loads', 15 * Math.random());
  if ((await exit) !== 7) others.push(await exit);
}
console.log(`${times} exits, ${others.length} that ended otherwise: ${others.join(' ')}`);
process.exitCode = others.length === 0 ? 0 : 1;
