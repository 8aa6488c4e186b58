import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default', './tests/closing-line.ts'],
    // Native sessions hold threads of their own; processes keep a crash in one file from hiding the others.
    pool: 'forks',
  },
});
