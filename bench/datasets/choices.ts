import type { Sample } from './types.js';

/** The published answer format of multiple-choice questions. */
export const choiceInstruction =
  '\nAnswer directly with only the letter inside parentheses, and nothing else. \nAnswer:';

/** LLaVA-1.5 is asked otherwise in the published runs. */
export const choiceInstructions: Sample['instructions'] = { llava: '\nAnswer' };
