import { FsynError } from '../errors.js';

/** A record of a CSV file, and the line that it begins on. */
export interface CsvRecord {
  readonly cells: readonly string[];
  readonly number: number;
}

/**
 * Reads CSV by RFC 4180: cells in quotes may hold commas, line ends and doubled quotes. Blank lines are no
 * records.
 *
 * @param where names the file in messages
 * @throws FsynError DATASET naming the line of a quote that is not closed or stands inside a cell
 */
export function readCsv(text: string, where: string): CsvRecord[] {
  const records: CsvRecord[] = [];
  const pattern = /"((?:[^"]|"")*)"(?=,|\r?\n|$)|([^",\r\n]*)(?=,|\r?\n|$)/gy;
  let [at, number] = [0, 1];
  while (at < text.length) {
    const begin = number;
    const cells: string[] = [];
    for (;;) {
      pattern.lastIndex = at;
      const match = pattern.exec(text);
      if (match === null)
        throw new FsynError('DATASET', `${where}:${number}: a quote stands inside a cell or is not closed.`);
      cells.push(match[1]?.replaceAll('""', '"') ?? match[2]);
      number += match[0].split('\n').length - 1;
      at = pattern.lastIndex;
      if (text[at] !== ',') break;
      at++;
    }
    at += text.startsWith('\r\n', at) ? 2 : 1;
    if (cells.length > 1 || cells[0] !== '') records.push({ cells, number: begin });
    number++;
  }
  return records;
}
