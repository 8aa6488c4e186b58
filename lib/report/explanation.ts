import type { Attribution } from '../cells/attribution.js';
import { escapeHtml } from '../html-text.js';
import type { ValueBounds } from '../metrics/bounds.js';
import type { PreparedSample } from '../vlm/types.js';
import { blankness, heatColour, largestMagnitude, overlayPng, picturePng } from './heatmap.js';
import { largestPair, wordChooser, wordMaps } from './word-regions.js';

/** One explainer's view of a sample, ready to be drawn. */
export interface Explanation {
  readonly title: string;
  readonly attribution: Attribution;
  /** Raw F_syn of this attribution on this sample. */
  readonly synergy: number;
  /** What is known of it within bounds only; absent where every value is exact. */
  readonly bounds?: ValueBounds;
}

/**
 * The question with every text player's token on a background of its score's colour, for terminals with
 * 24-bit colour.
 */
export function colouredWords(labels: readonly string[], scores: Float64Array): string {
  const largest = largestMagnitude(scores);
  return labels
    .map((label, i) => {
      const { red, green, blue, strength } = heatColour(scores[i], largest);
      const shade = (colour: number) => Math.round(255 + (colour - 255) * strength);
      return `\x1b[30;48;2;${shade(red)};${shade(green)};${shade(blue)}m${label.trim()}\x1b[0m`;
    })
    .join(' ');
}

/**
 * A self-contained HTML page: every explainer's overlay and coloured words side by side, readable in light
 * and dark.
 */
export async function explanationPage(
  sample: PreparedSample,
  explanations: readonly Explanation[],
): Promise<string> {
  const figures = await Promise.all(
    explanations.map(async ({ title, attribution, synergy }) => {
      const png = await overlayPng(sample.image, sample.imagePlayers, attribution.image);
      const blank = [blankness(attribution.image, 'image'), blankness(attribution.text, 'text')];
      const [imageLabel, textLabel] = blank.map((text) =>
        text === '' ? '' : `<span class="blank">${text}</span> `,
      );
      return `<figure><figcaption>${escapeHtml(title)} <small>F_syn ${synergy.toFixed(3)}</small></figcaption>
<div>${imageLabel}<img alt="${escapeHtml(title)} scores over the image" src="data:image/png;base64,${png.toString('base64')}"></div>
<p>${textLabel}${htmlWords(sample.textPlayers.labels, attribution.text)}</p></figure>`;
    }),
  );
  const words = await wordSections(sample, explanations);
  const picture = await picturePng(sample.image);
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>fsyn explain</title>
<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 80rem; padding: 0 1rem }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1.5rem }
figure { margin: 0 } figcaption { font-weight: 600 } small { font-weight: 400; opacity: .75 }
figure div { position: relative } .blank { border: 1px solid; font-size: .8rem; padding: 0 .3rem }
div .blank { background: #fff; color: #111; left: .5rem; position: absolute; top: .5rem }
img { width: 100%; image-rendering: pixelated } mark { color: #111; border-radius: .2em; padding: 0 .15em }
</style>
<h1>${escapeHtml(sample.question)}</h1>
<p>${answerHtml(sample)}
Red speaks for ${sample.answer.decisionKind === 'similarity' ? 'the caption' : 'the answer'}, blue against it; colours are scaled per picture and per question.</p>
<main><figure><figcaption>The picture</figcaption>
<img alt="the picture" src="data:image/png;base64,${picture.toString('base64')}"></figure>
${figures.join('\n')}</main>${words}</html>
`;
}

/** For methods that have pairs: the regions that act together with a chosen word. */
async function wordSections(sample: PreparedSample, explanations: readonly Explanation[]): Promise<string> {
  const sections: string[] = [];
  for (const [i, { title, attribution }] of explanations.entries()) {
    if (attribution.wordRegions === undefined) continue;
    const maps = wordMaps(attribution.wordRegions, sample.textPlayers.labels);
    const scale = largestPair(maps);
    const figures = await Promise.all(
      maps.map(async ({ scores, label }) => {
        const png = await overlayPng(sample.image, sample.imagePlayers, scores, scale);
        return `<img alt="regions that act with ${escapeHtml(label)}" src="data:image/png;base64,${png.toString('base64')}">`;
      }),
    );
    sections.push(`<h2>${escapeHtml(title)}: what acts together with a word</h2>
<p>Red: region and word give more together than each alone; blue: less. One scale for all words (full: ${scale.toPrecision(2)}); pairs within two
standard errors of 0 are blank.</p>
<div style="max-width: 24rem">${wordChooser(`words${i}`, maps, figures)}</div>`);
  }
  return sections.join('\n');
}

function answerHtml({ answer }: PreparedSample): string {
  if (answer.decisionKind === 'similarity') return `<strong>${escapeHtml(answer.text)}</strong>.`;
  const [decision, token] = [answer.decision, answer.decisionToken].map((t) => escapeHtml(JSON.stringify(t)));
  return `Answer: <strong>${escapeHtml(answer.text)}</strong> (decides: ${decision}, scored token ${token}).`;
}

function htmlWords(labels: readonly string[], scores: Float64Array): string {
  const largest = largestMagnitude(scores);
  return labels
    .map((label, i) => {
      const { red, green, blue, strength } = heatColour(scores[i], largest);
      const shade = (colour: number) => Math.round(255 + (colour - 255) * strength);
      const background = `rgb(${shade(red)} ${shade(green)} ${shade(blue)})`;
      return `<mark style="background:${background}" title="${scores[i].toPrecision(3)}">${escapeHtml(label.trim())}</mark>`;
    })
    .join(' ');
}
