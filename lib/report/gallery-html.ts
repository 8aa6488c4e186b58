import { escapeHtml } from '../html-text.js';
import { decimal } from '../text-table.js';
import type { ExplainerStyle } from './explainer-style.js';
import { galleryScript } from './gallery-script.js';
import { blankness, heatColour, heatPng, largestMagnitude } from './heatmap.js';
import { controlNames } from './pool.js';
import type { GallerySample, GalleryView } from './report.js';
import { largestPair, wordChooser, wordMaps } from './word-regions.js';

/**
 * Samples with every explainer's scores over the picture and the question. Works without scripts; a script
 * adds filters, a search and an order.
 */
export async function galleryHtml(samples: readonly GallerySample[], style: ExplainerStyle): Promise<string> {
  const parts: string[] = [];
  for (const [i, sample] of samples.entries()) parts.push(await sampleHtml(sample, `g${i}`, style));
  const choice = (label: string, field: string, values: readonly string[]) =>
    values.length < 2
      ? ''
      : `<label>${label} <select data-filter="${field}"><option value="">all</option>${values
          .map((value) => `<option>${escapeHtml(value)}</option>`)
          .join('')}</select></label>`;
  const distinct = (pick: (sample: GallerySample) => string) => [...new Set(samples.map(pick))].sort();
  const shown = style.names.filter((name) => samples.some((s) => s.views.some((v) => v.explainer === name)));
  return `<div class="filters">
${choice(
  'model',
  'model',
  distinct((s) => s.picture.model),
)}
${choice(
  'dataset',
  'dataset',
  distinct((s) => s.picture.dataset),
)}
${choice(
  'needs',
  'grounding',
  distinct((s) => s.grounding ?? 'unknown'),
)}
${choice('answer', 'outcome', distinct(outcomeOf))}
<label>explainer <select data-explainer name="explainer"><option value="">all</option>${shown
    .map((name) => `<option value="${escapeHtml(name)}">${escapeHtml(style.title(name))}</option>`)
    .join('')}</select></label>
<label>order <select data-order name="order"><option value="">as measured</option><option value="synergy">largest F_syn first</option><option value="lowest">smallest F_syn first</option><option value="disagreement">explainers disagree most</option><option value="wrong">wrong answers first</option></select></label>
<label>question has <input type="search" data-search name="words"></label>
<span data-count role="status"></span></div>
<div data-gallery>
${parts.join('\n')}
</div>
<script>${galleryScript}</script>`;
}

/** A similarity answers nothing that could be right. */
function outcomeOf({ correct }: GallerySample): string {
  if (correct === null) return 'not judged';
  return correct ? 'correct' : 'wrong';
}

/** Fragment that names a sample in every page that shows it; safe in an attribute. */
function sampleAddress({ model, dataset, sample }: GallerySample['picture']): string {
  const parts = [model, dataset, sample].map((part) => encodeURIComponent(part).replaceAll("'", '%27'));
  return `sample/${parts.join('/')}`;
}

/** Mean raw F_syn of the explainers besides the controls, and how far the best is from the worst. */
function synergyOf({ views }: GallerySample): { readonly mean: string; readonly spread: string } {
  const values = views.filter((v) => !controlNames.includes(v.explainer)).map(({ synergy }) => synergy);
  if (values.length === 0) return { mean: '', spread: '' };
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean: mean.toFixed(6), spread: (Math.max(...values) - Math.min(...values)).toFixed(6) };
}

async function sampleHtml(sample: GallerySample, id: string, style: ExplainerStyle): Promise<string> {
  const { picture, grounding } = sample;
  const outcome = outcomeOf(sample);
  const judged = sample.correct === null ? '' : `, expected “${sample.expected}” (${outcome})`;
  const order = [...sample.views].sort(
    (a, b) => style.names.indexOf(a.explainer) - style.names.indexOf(b.explainer),
  );
  const views = await Promise.all(order.map((view) => viewHtml(sample, view, id, style)));
  const facts = [
    picture.model,
    picture.dataset,
    picture.sample,
    grounding ?? '',
    `answer “${sample.answer.trim()}”${judged}`,
  ];
  // One copy of the picture for all views: grey and pale under scores, because red on a red object could not
  // be seen.
  const address = sampleAddress(picture);
  const { mean, spread } = synergyOf(sample);
  return `<style>.${id}{background-image:linear-gradient(#ffffff80,#ffffff80),url(data:image/png;base64,${picture.png})}</style>
<section class="sample" id="${address}" data-synergy="${mean}" data-disagreement="${spread}" data-model="${escapeHtml(picture.model)}" data-dataset="${escapeHtml(picture.dataset)}" data-grounding="${escapeHtml(grounding ?? 'unknown')}" data-outcome="${outcome}">
<h3>${escapeHtml(sample.question)} <a class="link" href="#${address}" aria-label="Link to this sample">#</a></h3>
<p class="note">${facts
    .filter((fact) => fact !== '')
    .map(escapeHtml)
    .join(' · ')}</p>
<div class="views"><figure><div class="shot own ${id}" role="img" aria-label="The picture" style="aspect-ratio:${picture.width}/${picture.height}"></div>
<figcaption><b>The picture</b></figcaption></figure>
${views.join('\n')}</div></section>`;
}

async function viewHtml(
  { picture, textLabels }: GallerySample,
  view: GalleryView,
  id: string,
  style: ExplainerStyle,
): Promise<string> {
  const boxes = Float64Array.from(picture.boxes);
  const heat = await heatPng(picture, { count: boxes.length / 4, boxes }, view.image);
  const title = style.title(view.explainer);
  const blank = [blankness(view.image, 'image'), blankness(view.text, 'text')];
  const [imageLabel, textLabel] = blank.map((text) =>
    text === '' ? '' : `<span class="blank">${text}</span>`,
  );
  return `<figure data-explainer="${escapeHtml(view.explainer)}"><div class="shot ${id}"><img alt="${escapeHtml(title)}: scores over the picture" width="${picture.width}" height="${picture.height}" src="data:image/png;base64,${heat.toString('base64')}">${imageLabel}</div>
<figcaption><b>${escapeHtml(title)}</b><br>F_syn ${decimal(view.synergy)}<br>SRG image ${decimal(view.imageSrg, 2)}<br>SRG text ${decimal(view.textSrg, 2)}</figcaption>
<p class="question">${textLabel}${colouredWords(textLabels, view.text)}</p>${await wordViews(picture, textLabels, view, id)}</figure>`;
}

/** The regions that act together with a chosen word, of methods that have pairs. */
async function wordViews(
  picture: GallerySample['picture'],
  labels: readonly string[],
  { wordRegions, explainer }: GalleryView,
  id: string,
): Promise<string> {
  if (wordRegions === undefined) return '';
  const maps = wordMaps(wordRegions, labels);
  const scale = largestPair(maps);
  const boxes = Float64Array.from(picture.boxes);
  const figures = await Promise.all(
    maps.map(async ({ scores, label }) => {
      const heat = await heatPng(picture, { count: boxes.length / 4, boxes }, scores, scale);
      return `<div class="shot ${id}"><img alt="regions that act with ${escapeHtml(label)}" width="${picture.width}" height="${picture.height}" src="data:image/png;base64,${heat.toString('base64')}"></div>`;
    }),
  );
  const group = `${id}-${explainer.replace(/[^a-z0-9]/g, '-')}`;
  return `<details><summary>what acts together with a word</summary>${wordChooser(group, maps, figures)}</details>`;
}

/** Words on a translucent background of their score's colour: the text keeps the page's own colour. */
function colouredWords(labels: readonly string[], scores: readonly number[]): string {
  const largest = largestMagnitude(scores);
  return labels
    .map((label, i) => {
      const { red, green, blue, strength } = heatColour(scores[i], largest);
      const alpha = (0.6 * strength).toFixed(2);
      return `<span style="background:rgba(${red},${green},${blue},${alpha})" title="${scores[i].toPrecision(3)}">${escapeHtml(label.trim())}</span>`;
    })
    .join(' ');
}
