import { paletteVariables } from './palette.js';

/** Charts use the same variables as the page, so that light, dark and paper need no second drawing. */
const themes = `
:root { color-scheme: light dark; ${paletteVariables.light} }
@media (prefers-color-scheme: dark) {
  :root { ${paletteVariables.dark} }
}
`;

const text = `
* { box-sizing: border-box }
body {
  background: var(--paper);
  color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif;
  margin: 0 auto;
  max-width: 76rem;
  padding: 1.2rem 1.2rem 4rem;
}
h1 { font-size: 1.35rem; margin: 0 }
h2 { border-top: 1px solid var(--grid); font-size: 1.25rem; margin: 2.6rem 0 .4rem; padding-top: 1.4rem }
h3 { font-size: 1.02rem; margin: 1.7rem 0 .3rem }
a { color: var(--accent) }
nav { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .2rem 0 1rem }
nav a { white-space: nowrap }
.lead { color: var(--faint); margin: .1rem 0 .5rem }
.note { color: var(--faint); margin: .3rem 0 .7rem; max-width: 62rem }
.holds { color: var(--holds) }
.open { color: var(--open) }
.fails { color: var(--fails) }
svg { display: block; height: auto; max-width: 100% }
figure { margin: .4rem 0 }
.row { align-items: start; display: flex; flex-wrap: wrap; gap: 1rem 2rem }
details > summary { color: var(--accent); cursor: pointer }
`;

/** The answers at the top: one card per model. */
const cards = `
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(34rem, 100%), 1fr)) }
.cards.several { grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)) }
.several li { font-size: .9rem; margin: .1rem 0 }
.card { background: var(--card); border-radius: .6rem; padding: 1rem 1.2rem }
.card.single { display: grid; gap: .5rem 2rem; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) }
@media (max-width: 62rem) {
  .card.single { grid-template-columns: minmax(0, 1fr) }
}
.model { color: var(--faint); font-weight: 600; margin: 0 }
.model .note { font-weight: 400; margin-left: .4rem }
.answer { font-size: 1.3rem; font-weight: 650; line-height: 1.3; margin: .1rem 0 .4rem }
.several .answer { font-size: 1.08rem }
.caution { border-left: .25rem solid var(--open); padding-left: .6rem }
.trust { font-weight: 650; margin: .8rem 0 .2rem }
ul.checks { list-style: none; margin: 0; padding: 0 }
ul.checks li { display: grid; grid-template-columns: 1.5rem 1fr; line-height: 1.35; margin: .25rem 0 }
ul.checks small { color: var(--faint); display: block }
ul.checks .mark { font-weight: 700 }
`;

const tables = `
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; margin: .3rem 0 .6rem }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; vertical-align: top; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
.words th, .words td { overflow-wrap: anywhere; text-align: left; white-space: normal }
thead th { border-bottom: 1px solid var(--faint); font-weight: 600; vertical-align: bottom; white-space: normal }
tbody tr + tr > * { border-top: 1px solid var(--grid) }
.matrix td, .matrix thead th { padding: .25rem .45rem; text-align: center }
.matrix td.up { color: var(--holds); font-weight: 650 }
.matrix td.down { color: var(--fails); font-weight: 650 }
.matrix td.same { color: var(--faint) }
.star { position: absolute }
@media (max-width: 48rem) {
  .scroll th:first-child { background: var(--paper); left: 0; position: sticky }
}
`;

/** Scores lie over a grey and pale copy of the picture; the picture alone keeps its colours. */
const gallery = `
.filters { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; margin: .6rem 0 1rem }
select, input { font: inherit; max-width: 100% }
.filters label { max-width: 100%; min-width: 0 }
.sample { border-top: 1px solid var(--grid); padding: .8rem 0 }
.sample { contain-intrinsic-size: auto 30rem; content-visibility: auto }
.sample h3 { margin: 0 0 .2rem }
.sample .link { font-weight: 400; text-decoration: none }
.views { display: grid; gap: .9rem; grid-template-columns: repeat(auto-fill, minmax(9.3rem, 1fr)) }
.shot {
  background-blend-mode: normal, luminosity;
  background-color: #fff;
  background-size: 100% 100%;
  border: 1px solid var(--grid);
  image-rendering: pixelated;
  position: relative;
  print-color-adjust: exact;
  -webkit-print-color-adjust: exact;
  width: 100%;
}
.blank { border: 1px solid var(--grid); font-size: .8rem; padding: 0 .3rem }
.shot .blank { background: #fff; color: #111; left: .4rem; position: absolute; top: .4rem }
.shot.own { background-blend-mode: normal; background-size: 0 0, 100% 100% }
.shot img { display: block; height: auto; image-rendering: pixelated; width: 100% }
.views figcaption { font-size: .85rem; line-height: 1.3; margin: .2rem 0 }
.question { font-size: .85rem; line-height: 1.7; margin: 0 }
.question span {
  border-radius: .2em;
  padding: 0 .12em;
  print-color-adjust: exact;
  -webkit-print-color-adjust: exact;
}
`;

/** Comes last, so that it wins over rules of the same weight. */
const print = `
@page { margin: 12mm; size: A4 landscape }
@media print {
  :root { color-scheme: light; ${paletteVariables.print} }
  body { font-size: 10pt; max-width: none }
  nav, .filters, .sample .link { display: none }
  .sample { content-visibility: visible }
  h2, h3 { break-after: avoid }
  figure, tr, .sample, li, .card { break-inside: avoid }
  figure svg { max-height: 105mm; width: auto }
  .row { flex-wrap: nowrap }
  .row figure { flex: 0 1 auto; min-width: 0 }
  .scroll { overflow: visible }
  table { font-size: 7.5pt }
  th, td, .matrix td, .matrix thead th { padding-right: .5em }
  .card { border: 1px solid #ccc }
  .card.single { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) }
  .cards.several { grid-template-columns: repeat(3, minmax(0, 1fr)) }
  .several .card { padding: .5rem .8rem }
  .several p, .several li { font-size: 8.5pt }
  .several .answer { font-size: 11pt }
  .several svg { max-height: 42mm; width: auto }
  .views { gap: .5rem; grid-template-columns: repeat(7, minmax(0, 1fr)) }
  .views figcaption, .question { font-size: .72rem }
}
`;

/** The page's style sheet. */
export const pageStyle = [themes, text, cards, tables, gallery, print].join('');
