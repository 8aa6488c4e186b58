/**
 * Which explainers find the players that decide:
 * `npm run bench:roc -- [--model NAME_OR_DIR] [--families NAMES] [--limit N] [--explainers NAMES] [--seed S]
 * [--json] `.
 *
 * Mean ROC area of the scores against the ground truth's players (1 is perfect, .5 is chance, ties count
 * half), on grounded questions of the embedded suite, all families in turn, that the model answers right: of
 * every registered explainer, and of variants of the signed ones that show what target, reference, path and
 * sign each contribute. `--explainers NAME/` takes the variants of NAME only.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { EMBEDDED_MASKING, embeddedDataset } from '../../lib/datasets/embedded/dataset.js';
import { FAMILIES, type Family } from '../../lib/datasets/embedded/questions.js';
import { attnLrp } from '../../lib/explainers/attn-lrp.js';
import { inputXGradient } from '../../lib/explainers/input-x-gradient.js';
import { integratedGradients } from '../../lib/explainers/integrated-gradients.js';
import { explainers } from '../../lib/explainers/registry.js';
import type { Explainer } from '../../lib/explainers/types.js';
import { packageInfo } from '../../lib/package.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { mapTruth } from '../../lib/vlm/truth.js';

const targets = ['contrast', 'logit'] as const;
const references = ['absent', 'zero'] as const;

/** Registered explainers and variants, by what a table calls them. */
function candidates(names: readonly string[] | undefined): Map<string, Explainer> {
  const found = new Map<string, Explainer>();
  for (const explainer of explainers) found.set(explainer.name, explainer);
  for (const target of targets) {
    for (const reference of references) {
      const suffix = `${target}, ${reference}`;
      found.set(`input-x-gradient/${suffix}`, inputXGradient({ target, reference }));
      found.set(`attn-lrp/${suffix}`, attnLrp({ target, reference }));
    }
    for (const path of ['separate', 'joint'] as const) {
      found.set(`integrated-gradients/${target}, ${path}`, integratedGradients({ target, path }));
    }
  }
  for (const linear of [0, 0.25, 0.5, 2, 4]) {
    found.set(`attn-lrp/gamma ${linear}`, attnLrp({ visionGamma: { linear } }));
  }
  const wanted = ([name, { byNameOnly }]: [string, Explainer]) =>
    names
      ? names.some((item) => name === item || name.startsWith(`${item.replace(/\/$/, '')}/`))
      : !byNameOnly;
  return new Map([...found].filter(wanted));
}

/** Probability that a deciding player scores above another; undefined when there are none of one kind. */
function rocArea(scores: ArrayLike<number>, truth: Uint8Array): number | undefined {
  const [deciding, others]: [number[], number[]] = [[], []];
  for (const [i, flag] of truth.entries()) (flag ? deciding : others).push(scores[i]);
  if (deciding.length === 0 || others.length === 0) return undefined;
  let wins = 0;
  for (const a of deciding) for (const b of others) wins += a > b ? 1 : a === b ? 0.5 : 0;
  return wins / (deciding.length * others.length);
}

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'llava-tiny' },
    families: { type: 'string', default: FAMILIES.join() },
    limit: { type: 'string', default: '24' },
    explainers: { type: 'string' },
    seed: { type: 'string', default: '0' },
    json: { type: 'boolean', default: false },
  },
});
const methods = candidates(values.explainers?.split(','));
const KINDS = ['image', 'image magnitude', 'words', 'words magnitude'] as const;
const areas = new Map([...methods.keys()].map((name) => [name, KINDS.map(() => [] as number[])]));
const embedded = join(packageInfo().root, 'bench/models', values.model, 'model');
const vlm = await loadVlm(existsSync(embedded) ? embedded : values.model);
const data = embeddedDataset({
  families: values.families.split(',') as Family[],
  size: Number(values.limit),
  seed: Number(values.seed),
});
let right = 0;
for await (const item of data.samples()) {
  const choices = item.choices ? { choices: item.choices } : {};
  const sample = await vlm.prepare(await item.image(), item.question, { ...EMBEDDED_MASKING, ...choices });
  if (sample.answer.text.trim().toLowerCase() !== item.answer.toLowerCase()) continue;
  right++;
  const truth = mapTruth(item.truth, sample);
  for (const [name, explainer] of methods) {
    const { image, text } = await explainer.attribute({
      sample,
      truth,
      seed: right,
      evaluate: (cells, options) => sample.evaluate(cells, options),
    });
    const scores = [image, image.map(Math.abs), text, text.map(Math.abs)];
    for (const [kind, list] of areas.get(name)!.entries()) {
      const area = rocArea(scores[kind], kind < 2 ? truth.image : truth.text);
      if (area !== undefined) list.push(area);
    }
  }
}
const rows = [...areas].map(([name, lists]) => ({
  name,
  areas: lists.map((list) => list.reduce((sum, area) => sum + area, 0) / list.length),
}));
if (values.json) {
  console.log(
    JSON.stringify({
      model: vlm.name,
      fingerprint: vlm.fingerprint,
      right,
      asked: data.size,
      kinds: KINDS,
      rows,
    }),
  );
} else {
  console.log(`${vlm.name} ${vlm.fingerprint.slice(0, 12)}: ${right} of ${data.size} answered right`);
  console.log(`| method | ${KINDS.join(' | ')} |\n|---|${KINDS.map(() => '---|').join('')}`);
  for (const { name, areas: means } of rows) {
    console.log(`| ${name} | ${means.map((mean) => mean.toFixed(2).replace(/^0/, '')).join(' | ')} |`);
  }
}
process.exit(0);
