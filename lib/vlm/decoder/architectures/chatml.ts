/** Where ChatML prompts begin and end the user's turn. */
export const chatmlAnchors = {
  userAnchor: '<|im_start|>user',
  assistantAnchor: '<|im_start|>assistant',
} as const;
