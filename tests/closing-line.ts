import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** Prints `N passed, N failed, N skipped` as the last line, which is what continuous integration reads. */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const count = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    for (const module of modules) {
      const tests: TestCase[] = [...module.children.allTests()];
      for (const test of tests) count[test.result().state]++;
      // A file that does not even load has no tests to fail.
      if (tests.length === 0 && module.state() === 'failed') count.failed++;
    }
    const failed = count.failed + count.pending + errors.length;
    process.on('exit', () =>
      process.stdout.write(`${count.passed} passed, ${failed} failed, ${count.skipped} skipped\n`),
    );
  }
}
