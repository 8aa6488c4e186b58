import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Names in a folder in code-point order; null when there is no such folder. */
export async function listFolder(path: string): Promise<string[] | null> {
  try {
    return (await readdir(path)).sort();
  } catch {
    return null;
  }
}

/** The Parquet files that a path means: itself, or those directly in the folder; null when there are none. */
export async function parquetFiles(path: string): Promise<string[] | null> {
  const isFile = await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
  if (isFile) return [path];
  const names = (await listFolder(path))?.filter((name) => name.endsWith('.parquet')) ?? [];
  return names.length > 0 ? names.map((name) => join(path, name)) : null;
}
