import { escapeHtml } from '../html-text.js';
import { decimal, interval } from '../text-table.js';
import {
  bandedExplainers,
  contradictionChart,
  costChart,
  curveChart,
  forestChart,
  scatterLimit,
  shapleyScatter,
  stepChart,
} from './charts.js';
import type { Comparison } from './comparison.js';
import { ExplainerStyle } from './explainer-style.js';
import { galleryHtml } from './gallery-html.js';
import { pageStyle } from './page-style.js';
import { plausibilitySection } from './plausibility.js';
import type { ModelReport, Report } from './report.js';
import {
  agreementTable,
  bySynergy,
  comparisonTable,
  failureTable,
  gridTable,
  indexSamples,
  mapTable,
  percentText,
  provenanceTable,
  pText,
  type ReportTable,
  rankTable,
  scopeTable,
  separationTable,
  synergyTable,
} from './report-tables.js';
import type { Check, CheckOutcome, ScopeAnalysis } from './scope.js';
import { tellingTable } from './telling-table.js';
import { placeTable, sequentialPairTable, toldApartText } from './told-apart-tables.js';
import { behaviourTable, boundNote, boundTable, chanceTable } from './value-tables.js';
import {
  accuracyNote,
  answerText,
  cautionText,
  explainerNames,
  scaleNote,
  standingText,
  trustText,
} from './wording.js';

/**
 * Writes a report as one HTML page that needs nothing else: no network, scripts only to find samples.
 */
export async function renderHtml(report: Report): Promise<string> {
  const style = new ExplainerStyle(explainerNames(report), report.titles);
  const single = report.models.length === 1;
  const cards: string[] = [];
  for (const [i, model] of report.models.entries()) cards.push(await cardHtml(model, i, style, single));
  const sections: string[] = [];
  for (const [i, model] of report.models.entries()) sections.push(await modelHtml(model, i, report, style));
  const samples = report.models.map(({ model, overall }) => `${overall.samples} samples on ${model}`);
  const links = [
    ...report.models.map(({ model }, i) => `<a href="#m${i}">${escapeHtml(model)}</a>`),
    '<a href="#gallery">samples</a>',
    '<a href="#method">how to read this</a>',
    '<a href="#provenance">provenance</a>',
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>fsyn report</title>
<style>${pageStyle}</style></head><body><main>
<h1>Which explainer is faithful, and can the metric be believed here?</h1>
<p class="lead">${escapeHtml(samples.join(', '))}; ${report.rows} rows, ${report.failedRows} failed.</p>
<nav>${links.join('')}</nav>
<div class="cards${single ? '' : ' several'}">${cards.join('\n')}</div>
${single ? '' : `<h2 id="grid">All models</h2>\n${tableHtml(gridTable(modelColumns(report), style))}<p class="note">Mean raw F_syn with its 95 % interval; * marks the best explainer of a column, controls aside.</p>`}
<h2>Models and datasets</h2>
${tableHtml(scopeTable(report.models))}
<p class="note">tau: Kendall's tau-b between the rankings of explainers by image SRG and by text SRG. Near 1 the modalities agree, near -1 they contradict each other. rho: Spearman over rows of F_syn with the exact Shapley interaction index, on grounded samples where the data say which they are.</p>
${sections.join('\n')}
${toldApartHtml(report, style)}
${failuresHtml(report, style)}
<h2 id="gallery">Samples</h2>
${await gallerySection(report, style)}
${methodHtml}
<h2 id="provenance">Provenance</h2>
${tableHtml(provenanceTable(report), 'words')}
</main></body></html>
`;
}

function modelColumns(report: Report) {
  return report.models.map(({ model, overall }) => ({ title: model, scope: overall }));
}

async function cardHtml(
  { model, overall, verdict }: ModelReport,
  index: number,
  style: ExplainerStyle,
  single: boolean,
): Promise<string> {
  const random = overall.explainers.find((row) => row.name === 'random');
  const chart = await forestChart(
    `forest${index}`,
    overall.explainers.map((row) => ({ name: row.name, ...row.means.raw })),
    style,
    {
      title: single ? 'F_syn raw, mean and 95 % interval; line: Random' : 'F_syn raw; line: Random',
      reference: random && random.samples > 0 ? random.means.raw.estimate : 0,
      label: `Mean F_syn of every explainer on ${model}`,
      width: single ? 320 : 190,
    },
  );
  const warning = accuracyNote(overall);
  const trust = `<p class="trust ${verdict.trust}">${mark(verdict.trust)} ${escapeHtml(trustText(verdict.trust))}</p>${
    warning === '' ? '' : `<p class="note">${escapeHtml(warning)}</p>`
  }`;
  const caution = cautionText(verdict, overall, style);
  const head = `<p class="model">${escapeHtml(model)} <span class="note">${Number.isNaN(overall.accuracy) ? 'no answers to judge' : `accuracy ${percentText(overall.accuracy)}`}</span></p>
<p class="answer">${escapeHtml(answerText(verdict, overall, style))}</p>
<p>${escapeHtml(standingText(verdict, style))}</p>${caution === '' ? '' : `\n<p class="caution">${escapeHtml(caution)}</p>`}`;
  if (single) {
    return `<section class="card single"><div>\n${head}\n${chart}</div>
<div>${trust}\n${checkList(overall.checks, true)}</div></section>`;
  }
  return `<section class="card">\n${head}\n${chart}\n${trust}\n${checkList(overall.checks, false)}
<p><a href="#trust${index}">evidence</a></p></section>`;
}

/** @param evidence with the whole claim and its numbers, or a few words only */
function checkList(checks: readonly Check[], evidence: boolean): string {
  const items = checks.map((check) => {
    const text = evidence
      ? `${escapeHtml(check.claim)}<small>${escapeHtml(check.evidence)}</small>`
      : escapeHtml(check.label);
    return `<li><span class="mark ${check.outcome}">${mark(check.outcome)}</span><span>${text}</span></li>`;
  });
  return `<ul class="checks">${items.join('\n')}</ul>`;
}

function mark(outcome: CheckOutcome): string {
  return { holds: '✓', open: '?', fails: '✗' }[outcome];
}

async function modelHtml(
  { model, overall, datasets, curves, telling }: ModelReport,
  index: number,
  report: Report,
  style: ExplainerStyle,
): Promise<string> {
  const id = (name: string) => `${name}${index}`;
  const banded = bandedExplainers(overall);
  const measured = overall.explainers.filter(({ samples }) => samples > 0).length;
  const bandNote =
    banded.length < measured
      ? ` for ${banded.map((name) => escapeHtml(style.title(name))).join(' and ')} only`
      : '';
  const ranked = bySynergy(overall.explainers)
    .filter((row) => row.ranks && row.samples > 0)
    .map((row) => row.name);
  const grounding =
    overall.separation.length > 0
      ? `${tableHtml(separationTable(overall, style))}<p class="note">ROC area: the chance that a question that needs both image and text scores above one that needs a single modality; 0.5 is no separation. The corner dividend is what F_syn's last step is for every explainer: an area not above it owes nothing to the explanation.</p>`
      : '<p class="note">No samples marked as grounded and as prior.</p>';
  const cost = costChart(id('cost'), overall, style);
  return `<h2 id="m${index}">${escapeHtml(model)}</h2>
<h3>Ranking by F_syn</h3>
${tableHtml(synergyTable(overall, style))}
<p class="note">All datasets together; brackets are 95 % bootstrap intervals over samples. Mean rank: of raw F_syn within each sample, among explainers and Random, 1 = best. Clipped is the number of the paper's tables: it drops negative synergy and so flatters noise. The exact index is measured on a few samples, grounded ones where the data say so: compare it with F_syn of the same rows.</p>
<h3>Above chance</h3>
${chanceHtml(overall, style)}
<h3>By what the model needed</h3>
${tableHtml(behaviourTable(overall, style))}
<p class="note">From the four corners, whatever the data say: needs both where neither modality alone goes half of the way from the empty input to the full one. Elsewhere no map can show synergy, so only the first column can tell explainers apart.</p>
${datasets.length > 1 ? `<h3>By dataset</h3>\n${tableHtml(gridTable(datasetColumns(datasets), style))}` : ''}
${boundsHtml(overall, style)}
${mapsHtml(overall, style)}
<h3>Do the modalities agree on who is best?</h3>
<p>Kendall tau between visual and textual ranking: ${interval(overall.tau.withRandom, 2)}; without Random ${interval(overall.tau.withoutRandom, 2)} (${overall.tau.explainers} explainers with Random).</p>
<figure>${await contradictionChart(id('ranks'), overall, style)}</figure>
${tableHtml(rankTable(overall, style))}
<p class="note">Ranks of the means among explainers and Random, 1 = best, with the range of the 95 % bootstrap interval.</p>
<h3>Which differences are real?</h3>
<p>${escapeHtml(friedmanText(overall.friedman))}</p>
${matrixHtml(overall.pairs, ranked, style)}
<h3 id="trust${index}">Is the metric itself trustworthy here?</h3>
${report.models.length > 1 ? checkList(overall.checks, true) : ''}
${overall.controls.length > 0 ? tableHtml(comparisonTable(overall.controls, style)) : '<p class="note">Oracle and Anti-Oracle were not run.</p>'}
${overall.againstOracle.length > 0 ? `<details><summary>every explainer against Oracle, on the same samples</summary>${tableHtml(comparisonTable(overall.againstOracle, style))}</details>` : ''}
<h3>Grounded against prior questions</h3>
${grounding}
<h3>F_syn against the exact Shapley interaction index</h3>
${await shapleySection(overall, index, style)}
<h3>Insertion, deletion and synergy curves</h3>
<figure>${await curveChart(id('curves'), curves, report.steps, style, banded)}</figure>
<p class="note">Means over all samples with 95 % bands of the mean${bandNote}. A good explanation raises insertion early and lets deletion fall early; synergy curves of all explainers meet at the last step.</p>
${await plausibilitySection(id('plausible'), overall, style, tableHtml)}
${tellingHtml(telling, style)}
<h3>Cost against faithfulness</h3>
${cost ? `<figure>${await cost}</figure><p class="note">Seconds of the explanation alone, without scoring it.</p>` : '<p class="note">No timings.jsonl in the results folder, so no cost.</p>'}`;
}

/** Samples worth looking at; nothing where there are none. */
function tellingHtml(telling: ModelReport['telling'], style: ExplainerStyle): string {
  if (telling.length === 0) return '';
  return `<h3>Telling samples</h3>
${tableHtml(tellingTable(telling, style), 'words')}
<p class="note">Normalised values. Visual trap: a map whose image half moves the answer and that misses what acts together, which another explainer finds. Contradiction: a good image half with a text half worse than none. Failure of all: image and words are needed together, and no explainer finds them. The strongest of each kind, and how many samples there are of it.</p>`;
}

/** Within which bounds F_syn is known; nothing where every value is exact. */
function boundsHtml(scope: ScopeAnalysis, style: ExplainerStyle): string {
  const table = boundTable(scope, style);
  if (table.body.length === 0) return '';
  return `<h3>Known within bounds</h3>
${tableHtml(table)}
<p class="note">${escapeHtml(boundNote)}</p>`;
}

function chanceHtml(scope: ScopeAnalysis, style: ExplainerStyle): string {
  if (scope.scale === null) return '<p class="note">Neither random orders nor Random were run.</p>';
  return `<p>${escapeHtml(scaleNote(scope.scale))}.</p>
${tableHtml(chanceTable(scope, style))}
<p class="note">Paired by sample. The best order is the largest F_syn of any row of a sample, a lower bound of what is possible. Without s = 1: the last step is the same number for every explainer. This scale is fsyn's own, not the paper's.</p>`;
}

/** Which explainers leave the order to the players' places; nothing where none does. */
function mapsHtml(scope: ScopeAnalysis, style: ExplainerStyle): string {
  const table = mapTable(scope, style);
  if (table.body.length === 0) return '';
  return `<h3>Maps without an order of their own</h3>
${tableHtml(table)}
<p class="note">Samples on which a map gives all players of a modality one score (constant), or most pairs of them (mostly tied, as maps of zeros and ones do). Where scores are equal the places of the players decide, and F_syn is not the explainer's.</p>`;
}

function datasetColumns(datasets: ModelReport['datasets']) {
  return datasets.map((scope) => ({ title: scope.dataset ?? 'all', scope }));
}

async function shapleySection(
  scope: ModelReport['overall'],
  index: number,
  style: ExplainerStyle,
): Promise<string> {
  const { agreement } = scope;
  const scatter = shapleyScatter(`sii${index}`, scope, style);
  const steps = stepChart(`steps${index}`, scope);
  if (!agreement || !scatter || !steps)
    return '<p class="note">No row has the index; run the benchmark with --sii-samples.</p>';
  const { explainerOrder, withinSample } = agreement;
  const thinned =
    agreement.points.length > scatterLimit
      ? ` The plot shows every ${Math.ceil(agreement.points.length / scatterLimit)}th row.`
      : '';
  const leftOut =
    agreement.leftOut > 0
      ? ` ${agreement.leftOut} rows with the index are left out: one modality answers their questions.`
      : '';
  return `<div class="row"><figure>${await scatter}</figure><figure>${await steps}</figure></div>
<p class="note">Left: every row, with the line of equality. Right: Spearman at each step; the last point (a square) is 1 by definition, because there both sides are the same number.${thinned}${leftOut}</p>
<p>Inside a sample, across explainers: mean Spearman ${interval(withinSample, 2)} (${withinSample.samples} samples${withinSample.constant ? `; ${withinSample.constant} on which all explainers have the same F_syn or index are left out` : ''}). Explainers ordered by mean F_syn against mean index: Kendall tau ${interval(explainerOrder, 2)} (${explainerOrder.explainers} explainers, ${explainerOrder.samples} samples).</p>
<details><summary>every variant of F_syn (${agreement.rows} rows of ${indexSamples(agreement)})</summary>${tableHtml(agreementTable(scope))}
<p class="note">Each variant against the index in the same variant. Intervals draw whole samples. Without endpoint: both sides without their last step.</p></details>`;
}

function friedmanText(friedman: ModelReport['overall']['friedman']): string {
  if (!friedman) return 'Friedman test: not possible with one explainer.';
  const { statistic, treatments, pValue, concordance, blocks } = friedman;
  return `Friedman test over ${blocks} samples and ${treatments} explainers: chi-squared ${decimal(statistic, 1)}, p ${pText(pValue)}, Kendall's W ${decimal(concordance, 2)} (0: samples order explainers at random, 1: all alike).`;
}

/** Row minus column: sign and Holm-corrected p of every pair, best explainer first. */
function matrixHtml(pairs: readonly Comparison[], names: readonly string[], style: ExplainerStyle): string {
  if (names.length < 2) return '<p class="note">One explainer: nothing to compare.</p>';
  const cell = (row: string, column: string) => {
    if (row === column) return '<td></td>';
    const pair = pairs.find(
      ({ one, other }) => (one === row && other === column) || (one === column && other === row),
    );
    if (!pair) return '<td>-</td>';
    const sign = pair.one === row ? 1 : -1;
    const verdict = sign * pair.verdict;
    const kind = verdict > 0 ? 'up' : verdict < 0 ? 'down' : 'same';
    const title = `mean difference ${decimal(sign * pair.difference.estimate)}, Wilcoxon p ${pText(pair.pValue)}, Holm p ${pText(pair.adjusted)}, ${pair.samples} samples`;
    return `<td class="${kind}" title="${title}">${kind === 'up' ? '▲' : kind === 'down' ? '▼' : '·'} ${decimal(sign * pair.difference.estimate)}</td>`;
  };
  const head = names.map((name) => `<th>${escapeHtml(style.title(name))}</th>`).join('');
  const body = names
    .map(
      (row) =>
        `<tr><th>${escapeHtml(style.title(row))}</th>${names.map((column) => cell(row, column)).join('')}</tr>`,
    )
    .join('\n');
  return `<div class="scroll" tabindex="0"><table class="matrix"><thead><tr><th>row - column</th>${head}</tr></thead><tbody>${body}</tbody></table></div>
<p class="note">Mean difference of raw F_syn on the same samples. ▲ and ▼: told apart, that is the paired bootstrap interval excludes zero and the Wilcoxon signed-rank p-value with Holm's correction over all pairs is below 0.05. · not told apart.</p>`;
}

/** How far rankings were settled; nothing where the run was to take all samples. */
function toldApartHtml({ toldApart }: Report, style: ExplainerStyle): string {
  const parts = toldApart.map(
    (found) => `<h3>${escapeHtml(found.model)}</h3>
<p>${escapeHtml(toldApartText(found, style))}</p>
${tableHtml(placeTable(found, style))}
<details><summary>every pair</summary>${tableHtml(sequentialPairTable(found, style))}</details>`,
  );
  return parts.length === 0 ? '' : `<h2>Stopped when certain</h2>\n${parts.join('\n')}`;
}

function failuresHtml(report: Report, style: ExplainerStyle): string {
  if (report.failedRows === 0) return '';
  return `<h2>Failed rows</h2>\n${tableHtml(failureTable(report, style), 'words')}`;
}

async function gallerySection(report: Report, style: ExplainerStyle): Promise<string> {
  if (report.pictures === 0)
    return '<p class="note">The results folder has no gallery.jsonl, so there are no pictures to show.</p>';
  if (report.gallery.length === 0)
    return `<p class="note">None of the ${report.pictures} pictures in gallery.jsonl belongs to a measured row.</p>`;
  return `<p class="note">Red speaks for the answer, blue against it; colours are scaled per picture.</p>\n${await galleryHtml(report.gallery, style)}`;
}

/** The star of a best explainer hangs outside its column, so that numbers stay under each other. */
function cellHtml(cell: string): string {
  const starred = cell.endsWith(' *');
  return starred ? `${escapeHtml(cell.slice(0, -2))}<span class="star">&thinsp;*</span>` : escapeHtml(cell);
}

function tableHtml({ head, body }: ReportTable, kind = ''): string {
  const row = (cells: readonly string[], tag: 'th' | 'td') =>
    `<tr>${cells.map((cell, i) => `<${i === 0 ? 'th' : tag}>${cellHtml(cell)}</${i === 0 ? 'th' : tag}>`).join('')}</tr>`;
  return `<div class="scroll" tabindex="0"><table${kind === '' ? '' : ` class="${kind}"`}><thead>${row(head, 'th')}</thead><tbody>${body
    .map((cells) => row(cells, 'td'))
    .join('\n')}</tbody></table></div>`;
}

const methodHtml = `<h2 id="method">How to read this</h2>
<p class="note"><b>F_syn</b> (synergistic faithfulness) asks whether an explanation names the image regions and the words that the model uses together: the joint effect of the top image players and the top text players beyond their separate effects, averaged over how many are taken. Raw is signed; negative means that the two are redundant. <b>SRG</b> is insertion area minus deletion area of one modality.</p>
<p class="note"><b>Controls.</b> Oracle ranks the places and words first that the data mark as deciding, Anti-Oracle ranks them last, Random is fresh noise on every sample. They are compared on grounded samples whose marks are in the image and in the words. A metric that cannot order them does not measure what it says; an explainer above Oracle has found something that the marks do not hold. <b>The exact index</b> is the Shapley interaction index of the top image set and the top text set among background groups.</p>
<p class="note"><b>Checks.</b> ✓ the whole interval (and for controls the Holm-corrected test) is on the right side of a bound fixed beforehand; ✗ it is on the wrong side; ? the data cannot tell. One ✗ makes the metric doubtful on this model and data, whatever the ranking says.</p>`;
