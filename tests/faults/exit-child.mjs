// Ends its process with code 7 after some milliseconds of work: `node exit-child.mjs <kind> <milliseconds>`.
// The kind `explanations` goes on and on; of the others eight pieces run at once.
import { works } from './work.mjs';

const [kind, delay] = process.argv.slice(2);
const once = await works[kind]();
setTimeout(() => process.exit(7), Number(delay));
if (kind === 'explanations') for (;;) await once();
for (let i = 0; i < 8; i++) once();
