import { runtime } from '../inference/runtime.js';
import { codeVersion, packageInfo } from '../package.js';

/**
 * Versions of everything that decides a number besides models, data and settings: part of every row and of
 * its key.
 */
export function currentVersions(): Readonly<Record<string, string>> {
  return { fsyn: packageInfo().version, code: codeVersion(), onnxruntime: runtime().version };
}

/** `fsyn 0.1.0, code 0123456789ab, onnxruntime 1.2.3` */
export function describeVersions(versions: Readonly<Record<string, string>>): string {
  const parts = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return parts.length === 0 ? 'no version' : parts.join(', ');
}
