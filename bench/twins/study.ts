/**
 * What audit, F_syn and explainers say of two models of which it is known what they look at:
 *   npm run study:twins
 * Writes bench/results/twins.json (every number) and bench/twins/study.md (the tables of docs/twins.md).
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Attribution, PlayerTruth } from '../../lib/cells/attribution.js';
import { cornerValues, requestCorners } from '../../lib/cells/corners.js';
import { CellTable } from '../../lib/cells/table.js';
import { cellValues } from '../../lib/cells/values.js';
import { explainers } from '../../lib/explainers/registry.js';
import { evaluate, explain } from '../../lib/measure/evaluate.js';
import { behaviourOf } from '../../lib/metrics/modality.js';
import { plausibility } from '../../lib/metrics/plausibility.js';
import { packageInfo } from '../../lib/package.js';
import { deriveSeed } from '../../lib/statistics/random.js';
import { intervalOfMeans, resampleMeans } from '../../lib/statistics/resample.js';
import { interval } from '../../lib/text-table.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { mapTruth } from '../../lib/vlm/truth.js';
import type { PreparedSample, Vlm } from '../../lib/vlm/types.js';
import { type TwinSample, twinDataset } from './dataset.js';
import { SHORTCUTS } from './scenes.js';

const FLOOR = 0.05;
const { values } = parseArgs({
  options: {
    audited: { type: 'string', default: '100' },
    explained: { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
  },
});
const [audited, explained, seed] = [values.audited, values.explained, values.seed].map(Number) as [
  number,
  number,
  number,
];
const home = join(packageInfo().root, 'bench', 'twins');
const twins = ['pure', 'cheat'] as const;
const planted = SHORTCUTS.filter((kind) => kind !== 'none');

/** One question to a twin: four corners. */
interface AuditRow {
  readonly twin: string;
  readonly kind: string;
  readonly behaviour: string;
  readonly follows: 'object' | 'shortcut' | 'both' | 'neither';
}

/** One map on one question. */
interface MapRow {
  readonly twin: string;
  readonly kind: string;
  readonly sample: string;
  readonly explainer: string;
  readonly synergy: number;
  readonly imageSrg: number;
  readonly textSrg: number;
  /** Whether the largest score lies on it, null where it is not in this modality. */
  readonly shortcut: { readonly image: number | null; readonly text: number | null };
  readonly object: { readonly image: number | null; readonly text: number | null };
}

async function prepare(vlm: Vlm, sample: TwinSample): Promise<PreparedSample> {
  return vlm.prepare(await sample.image(), sample.question, {
    baseline: 'blur',
    blurRadius: 0.25,
    blurUnit: 'relative',
  });
}

async function audit(vlm: Vlm, twin: string): Promise<AuditRow[]> {
  const rows: AuditRow[] = [];
  for (const kind of SHORTCUTS) {
    for await (const sample of twinDataset({
      kind,
      size: audited,
      seed,
      agreeing: true,
      follows: 'object',
    }).samples()) {
      const prepared = await prepare(vlm, sample);
      const table = new CellTable(prepared.imagePlayers.count, prepared.textPlayers.count);
      const wanted = requestCorners(table);
      const corners = cornerValues(wanted, cellValues(await prepared.evaluate(table), 'probability'));
      const said = prepared.answer.text.trim();
      const [object, shortcut] = [said === sample.seen, said === sample.told];
      rows.push({
        twin,
        kind,
        behaviour: behaviourOf(corners, FLOOR),
        follows: object && shortcut ? 'both' : object ? 'object' : shortcut ? 'shortcut' : 'neither',
      });
    }
  }
  return rows;
}

async function explainAll(vlm: Vlm, twin: string): Promise<MapRow[]> {
  const rows: MapRow[] = [];
  const methods = explainers.filter(({ needsTruth, byNameOnly }) => !needsTruth && !byNameOnly);
  for (const kind of planted) {
    // Only questions that objects and shortcut answer differently tell which of them a model follows.
    for await (const sample of twinDataset({
      kind,
      size: explained,
      seed: seed + 1,
      agreeing: false,
      follows: 'object',
    }).samples()) {
      const prepared = await prepare(vlm, sample);
      const [object, shortcut] = [mapTruth(sample.object, prepared), mapTruth(sample.shortcut, prepared)];
      const maps: { name: string; attribution: Attribution }[] = [
        { name: 'oracle of the object', attribution: marks(object) },
        { name: 'oracle of the shortcut', attribution: marks(shortcut) },
      ];
      for (const method of methods) {
        const given = deriveSeed(seed, sample.id, method.name);
        maps.push({ name: method.name, attribution: await explain(prepared, method, { seed: given }) });
      }
      const results = await evaluate(
        prepared,
        maps.map(({ attribution }) => attribution),
      );
      for (const [i, { name, attribution }] of maps.entries()) {
        const pointing = (truth: PlayerTruth) => ({
          image: plausibility(attribution.image, truth.image)?.pointing ?? null,
          text: plausibility(attribution.text, truth.text)?.pointing ?? null,
        });
        const { synergy, image, text } = results[i] as (typeof results)[number];
        rows.push({
          twin,
          kind,
          sample: sample.id,
          explainer: name,
          synergy: synergy.raw.mean,
          imageSrg: image.srg,
          textSrg: text.srg,
          shortcut: pointing(shortcut),
          object: pointing(object),
        });
      }
    }
  }
  return rows;
}

function marks({ image, text }: PlayerTruth) {
  return { image: Float64Array.from(image), text: Float64Array.from(text) };
}

function meanOf(numbers: readonly number[]): string {
  const source = resampleMeans([Float64Array.from(numbers)], { resamples: 2000, seed: 0, strata: [] });
  return interval(intervalOfMeans(source, ([mean]) => mean as number));
}

function percent(hits: number, all: number): string {
  return all === 0 ? '-' : `${((100 * hits) / all).toFixed(0)} %`;
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function table(head: readonly string[], body: readonly (readonly string[])[]): string {
  return [line(head), `|${head.map(() => '---|').join('')}`, ...body.map(line)].join('\n');
}

function auditTable(rows: readonly AuditRow[]): string {
  const body = twins.flatMap((twin) =>
    SHORTCUTS.map((kind) => {
      const own = rows.filter((row) => row.twin === twin && row.kind === kind);
      const differ = own.filter(({ follows }) => follows !== 'both');
      const count = (behaviour: string) =>
        percent(own.filter((row) => row.behaviour === behaviour).length, own.length);
      const followed = (what: string) =>
        percent(differ.filter(({ follows }) => follows === what).length, differ.length);
      return [
        twin,
        kind,
        ...['image', 'text', 'either', 'both', 'neither'].map(count),
        followed('object'),
        followed('shortcut'),
      ];
    }),
  );
  return table(
    [
      'twin',
      'shortcut',
      'image alone',
      'text alone',
      'either',
      'needs both',
      'neither',
      'follows objects',
      'follows shortcut',
    ],
    body,
  );
}

/** Paired by sample: shortcut less object. */
function oracleTable(rows: readonly MapRow[]): string {
  const body = twins.flatMap((twin) =>
    planted.map((kind) => {
      const own = rows.filter((row) => row.twin === twin && row.kind === kind);
      const of = (name: string) => own.filter(({ explainer }) => explainer === name);
      const [object, shortcut] = [of('oracle of the object'), of('oracle of the shortcut')];
      const difference = (measure: 'synergy' | 'imageSrg' | 'textSrg') =>
        meanOf(shortcut.map((row, i) => row[measure] - (object[i] as MapRow)[measure]));
      return [twin, kind, difference('synergy'), difference('imageSrg'), difference('textSrg')];
    }),
  );
  return table(['twin', 'shortcut', 'F_syn raw', 'image SRG', 'text SRG'], body);
}

/** How often the largest score of a map lies on the shortcut, and on the objects. */
function findersTable(rows: readonly MapRow[]): string {
  const names = [...new Set(rows.map(({ explainer }) => explainer))];
  const share = (
    twin: string,
    name: string,
    kind: string,
    truth: 'shortcut' | 'object',
    side: 'image' | 'text',
  ) => {
    const own = rows.filter((row) => row.twin === twin && row.kind === kind && row.explainer === name);
    return percent(
      own.reduce((sum, row) => sum + (row[truth][side] ?? 0), 0),
      own.length,
    );
  };
  const columns = [
    ['mark', 'image'],
    ['word', 'text'],
    ['corner', 'image'],
    ['corner', 'text'],
  ] as const;
  const pairs = columns.flatMap(([kind, side]) =>
    twins.map((twin) => [kind, side, twin, 'shortcut'] as const),
  );
  return table(
    ['explainer', ...pairs.map(([kind, side, twin]) => `${kind}, ${side}: ${twin}`)],
    names.map((name) => [
      name,
      ...pairs.map(([kind, side, twin, truth]) => share(twin, name, kind, truth, side)),
    ]),
  );
}

const audits: AuditRow[] = [];
const maps: MapRow[] = [];
for (const twin of twins) {
  const vlm = await loadVlm(join(home, twin), { threads: 1 });
  try {
    audits.push(...(await audit(vlm, twin)));
    maps.push(...(await explainAll(vlm, twin)));
  } finally {
    vlm.dispose();
  }
}
const text = [
  `Audit, ${audited} questions per row:`,
  auditTable(audits),
  `Oracle of the shortcut less Oracle of the object, ${explained} questions per row on which they differ:`,
  oracleTable(maps),
  'Share of maps whose largest score lies on the shortcut:',
  findersTable(maps),
].join('\n\n');
const rounded = (_: string, value: unknown) => (typeof value === 'number' ? Number(value.toFixed(5)) : value);
/** A row a line. */
const lines = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row, rounded)).join(',\n');
writeFileSync(
  join(packageInfo().root, 'bench', 'results', 'twins.json'),
  `{"seed":${seed},"audited":${audited},"explained":${explained},\n"audits":[\n${lines(audits)}\n],\n"maps":[\n${lines(maps)}\n]}\n`,
);
writeFileSync(join(home, 'study.md'), `${text}\n`);
console.log(text);
