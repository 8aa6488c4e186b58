import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isExpected } from '../../../lib/vlm/answer/expected.js';
import { loadVlm } from '../../../lib/vlm/load.js';
import type { Vlm } from '../../../lib/vlm/types.js';
import { pattern } from '../pattern.js';

const model = fileURLToPath(new URL('../../../bench/models/llava-tiny/model', import.meta.url));

describe('answers of a tokenizer that spells longer words in pieces', () => {
  let vlm: Vlm;
  beforeAll(async () => {
    vlm = await loadVlm(model);
  });
  afterAll(() => vlm.dispose());

  it.each([
    ['nose', 'content', 'nose', { nose: true, no: false }],
    ['12', 'content', '12', { 12: true, 1: false }],
    ['umbrella', 'content', 'umbrella', { umbrella: true, um: false }],
    ['no', 'yes-no', 'no', { no: true, yes: false }],
  ] as const)('%s', async (said, kind, decision, judged) => {
    const { answer } = await vlm.prepare(pattern(48, 48), 'Is there a green square?', { answer: said });
    expect(answer).toMatchObject({ decisionKind: kind, decision });
    for (const [expected, right] of Object.entries(judged))
      expect(isExpected(answer, expected), expected).toBe(right);
  });

  it('takes a piece for the answer in compatibility mode only', async () => {
    const options = { answer: 'nose', decisionRule: 'published' } as const;
    const { answer } = await vlm.prepare(pattern(48, 48), 'Is there a green square?', options);
    expect(answer).toMatchObject({ decisionKind: 'yes-no', decision: 'no' });
    await expect(
      vlm.prepare(pattern(48, 48), 'Is it?', { decisionRule: 'tokens' as 'words' }),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});
