/**
 * How often honest scores are called suspicious, and transposed maps are found: on the rows of a benchmark of
 * embedded models and data (`fsyn bench`).
 *
 * Usage: node dist/bench/reliability/suspicious-scores.js FOLDER
 */
import { openDatasets } from '../../lib/datasets/open.js';
import type { MeasuredRecord, PictureFit } from '../../lib/report/record.js';
import { readRunDescription } from '../../lib/report/sources.js';
import { type ScoreShape, scoreShape, suspicionsOf } from '../../lib/report/suspicion.js';
import { readReport } from '../../lib/runner/conclude.js';
import { pictureFit } from '../../lib/runner/picture-fit.js';
import { readRecords } from '../../lib/runner/rows.js';
import { Random } from '../../lib/statistics/random.js';
import type { RgbImage } from '../../lib/vlm/types.js';

const sizes = [8, 15, 30, 45];
const draws = 400;
const folder = process.argv[2];
if (folder === undefined) throw new Error('expected a results folder');

/** The embedded models' players: cells of the whole picture. */
function gridOf(image: RgbImage, { players }: MeasuredRecord) {
  const { image: count, imageRows: rows, imageColumns: columns } = players;
  const [height, width] = image.shape;
  const boxes = Float64Array.from({ length: 4 * count }, (_, i) => {
    const [row, column] = [Math.floor(i / 4 / columns), Math.floor(i / 4) % columns];
    const [x, y] = [(column * width) / columns, (row * height) / rows];
    return [x, y, x + width / columns, y + height / rows][i % 4];
  });
  return { image, imagePlayers: { count, rows, columns, tiles: 1, boxes } };
}

const turned = (fit: PictureFit): PictureFit => ({ declared: fit.transposed, transposed: fit.declared });
const unknown = { imageSrg: { estimate: 0, low: 0, high: 0 }, textSrg: { estimate: 0, low: 0, high: 0 } };
const noOrder = { samples: 1, constantImage: 0, constantText: 0, constant: 0, tiedImage: 0, tiedText: 0 };

function isTransposed(fits: readonly PictureFit[]): boolean {
  const shapes = fits.map((fit) => ({ onePlayer: false, nearlyConstant: false, pictureFit: fit }));
  return suspicionsOf(shapes, noOrder, unknown).some(({ kind }) => kind === 'transposed');
}

const description = readRunDescription(folder);
const datasets = description?.datasets ?? [];
const pictures = new Map<string, RgbImage>();
for (const { name, size } of datasets) {
  const [dataset] = await openDatasets([name], { size, limit: size });
  for await (const sample of dataset.samples()) pictures.set(`${name}/${sample.id}`, await sample.image());
}

const found = new Map<string, ScoreShape[]>();
for (const record of readRecords(folder)) {
  if (record.status !== 'ok') continue;
  const fit = pictureFit(
    record.attribution.image,
    gridOf(pictures.get(`${record.dataset}/${record.sample}`)!, record),
  );
  const shape = scoreShape({ ...record, explainerFingerprint: 'as if', ...(fit && { pictureFit: fit }) })!;
  const key = `${record.model}\t${record.explainer}`;
  found.set(key, [...(found.get(key) ?? []), shape]);
}

console.log(
  `explainer\tsamples called transposed as they are, and transposed, of ${draws} draws of ${sizes}`,
);
const random = new Random(0);
const honest = sizes.map(() => [0, 0, 0]);
for (const [key, shapes] of found) {
  const fits = shapes.flatMap(({ pictureFit: fit }) => (fit ? [fit] : []));
  const rates = sizes.map((size, at) => {
    if (fits.length < size) return '-';
    let [wrong, right] = [0, 0];
    for (let draw = 0; draw < draws; draw++) {
      const chosen = Array.from(random.permutation(fits.length).subarray(0, size), (i) => fits[i]);
      if (isTransposed(chosen)) wrong++;
      if (isTransposed(chosen.map(turned))) right++;
    }
    // The controls that know the truth, and the one that knows nothing, are told apart.
    if (!/oracle$|random$/.test(key)) {
      honest[at][0] += wrong / draws;
      honest[at][1] += right / draws;
      honest[at][2]++;
    }
    return `${(wrong / draws).toFixed(3)} ${(right / draws).toFixed(3)}`;
  });
  console.log([key, ...rates].join('\t'));
}
for (const [at, [wrong, right, count]] of honest.entries())
  console.log(
    `${sizes[at]} samples, mean of ${count} explainers: false ${wrong / count}, found ${right / count}`,
  );

for (const { model, overall } of (await readReport(folder)).models) {
  for (const { name, maps, means } of overall.explainers) {
    const kinds = suspicionsOf(found.get(`${model}\t${name}`) ?? [], maps, means);
    for (const { kind, samples, of } of kinds) console.log(`${model}\t${name}\t${kind}\t${samples} of ${of}`);
  }
}
