import type { Dialect } from './dialect.js';
import { llamacpp } from './dialects/llamacpp.js';
import { ollama } from './dialects/ollama.js';
import { openai } from './dialects/openai.js';
import { sglang } from './dialects/sglang.js';
import { vllm } from './dialects/vllm.js';

/** Every kind of server, those that tell themselves first; `openai` is what is left. */
export const dialects: readonly Dialect[] = [vllm, sglang, llamacpp, ollama, openai];
