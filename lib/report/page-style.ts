/** The page's style sheet. Charts use the same variables, so that light, dark and paper need no second drawing. */
export const pageStyle = `
:root { color-scheme: light dark; --paper: #fff; --card: #f6f7f9; --ink: #1c2330; --faint: #6b7484; --grid: #dfe3e9; --accent: #0b5cad;
  --holds: #0a7a3d; --open: #8a6100; --fails: #b3261e; --random: #7b8494; --oracle: #2f8f4e; --anti-oracle: #a8433b;
  --c0: #0068b5; --c1: #c94f00; --c2: #00866a; --c3: #b0468f; --c4: #8a6d00; --c5: #1f95c9; --c6: #7048b6; --c7: #8c564b; --c8: #4f7a10; --c9: #d02670 }
@media (prefers-color-scheme: dark) { :root { --paper: #14181f; --card: #1d232d; --ink: #e6e9ef; --faint: #98a2b3; --grid: #333c4a; --accent: #7ab8ff;
  --holds: #5dd28e; --open: #e8bd55; --fails: #ff8a80; --random: #9aa4b4; --oracle: #6fce8d; --anti-oracle: #ef8d84;
  --c0: #5fb0f5; --c1: #ff9a52; --c2: #41d3ae; --c3: #ec92cf; --c4: #e0c046; --c5: #7fd3f7; --c6: #b99cf2; --c7: #c9998c; --c8: #a5d455; --c9: #ff7fb2 } }
@page { size: A4 landscape; margin: 12mm }
@media print { :root { color-scheme: light; --paper: #fff; --card: #fff; --ink: #000; --faint: #555; --grid: #ccc; --accent: #003e80;
  --holds: #0a7a3d; --open: #8a6100; --fails: #b3261e; --random: #777; --oracle: #2f8f4e; --anti-oracle: #a8433b;
  --c0: #0068b5; --c1: #c94f00; --c2: #00866a; --c3: #b0468f; --c4: #8a6d00; --c5: #1f95c9; --c6: #7048b6; --c7: #8c564b; --c8: #4f7a10; --c9: #d02670 }
  nav, .filters { display: none !important } body { max-width: none !important; font-size: 10pt !important }
  .scroll { overflow: visible !important } table { font-size: 7.5pt !important } th, td { padding-right: .5em !important } h2, h3 { break-after: avoid }
  .card.single { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) !important }
  figure, tr, .sample, li, .card { break-inside: avoid } .card { border: 1px solid #ccc }
  .cards.several { grid-template-columns: repeat(3, minmax(0, 1fr)) !important } .row { flex-wrap: nowrap !important } .row figure { flex: 0 1 auto; min-width: 0 }
  .several .answer { font-size: 11pt !important } .several p, .several li { font-size: 8.5pt !important } .several svg { max-height: 42mm; width: auto } .several .card { padding: .5rem .8rem }
  figure svg { max-height: 105mm; width: auto } .views { grid-template-columns: repeat(7, minmax(0, 1fr)) !important; gap: .5rem !important } .views figcaption, .question { font-size: .72rem !important } }
* { box-sizing: border-box }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1.2rem 1.2rem 4rem }
h1 { font-size: 1.35rem; margin: 0 } h2 { font-size: 1.25rem; margin: 2.6rem 0 .4rem; border-top: 1px solid var(--grid); padding-top: 1.4rem } h3 { font-size: 1.02rem; margin: 1.7rem 0 .3rem }
a { color: var(--accent) } nav { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .2rem 0 1rem } nav a { white-space: nowrap }
.lead { color: var(--faint); margin: .1rem 0 .5rem } .note { color: var(--faint); max-width: 62rem; margin: .3rem 0 .7rem }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(34rem, 100%), 1fr)) }
.cards.several { grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)) } .several .answer { font-size: 1.08rem } .several li { font-size: .9rem; margin: .1rem 0 }
.card { background: var(--card); border-radius: .6rem; padding: 1rem 1.2rem }
.card.single { display: grid; gap: .5rem 2rem; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) } @media (max-width: 62rem) { .card.single { grid-template-columns: minmax(0, 1fr) } }
.model { color: var(--faint); margin: 0; font-weight: 600 } .model .note { font-weight: 400; margin-left: .4rem } .answer { font-size: 1.3rem; line-height: 1.3; font-weight: 650; margin: .1rem 0 .4rem }
.trust { font-weight: 650; margin: .8rem 0 .2rem } .holds { color: var(--holds) } .open { color: var(--open) } .fails { color: var(--fails) }
ul.checks { list-style: none; margin: 0; padding: 0 } ul.checks li { display: grid; grid-template-columns: 1.5rem 1fr; margin: .25rem 0; line-height: 1.35 } ul.checks small { color: var(--faint); display: block }
ul.checks .mark { font-weight: 700 }
svg { display: block; height: auto; max-width: 100% } .row { align-items: start; display: flex; flex-wrap: wrap; gap: 1rem 2rem } figure { margin: .4rem 0 }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; margin: .3rem 0 .6rem }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; vertical-align: top; white-space: nowrap } th:first-child, td:first-child { text-align: left }
.words th, .words td { text-align: left; white-space: normal; overflow-wrap: anywhere } thead th { white-space: normal; vertical-align: bottom; border-bottom: 1px solid var(--faint); font-weight: 600 } tbody tr + tr > * { border-top: 1px solid var(--grid) }
.matrix td, .matrix thead th { text-align: center; padding: .25rem .45rem } .matrix td.up { color: var(--holds); font-weight: 650 } .matrix td.down { color: var(--fails); font-weight: 650 } .matrix td.same { color: var(--faint) }
.star { position: absolute }
@media (max-width: 48rem) { .scroll th:first-child { background: var(--paper); left: 0; position: sticky } }
details > summary { cursor: pointer; color: var(--accent) }
.filters { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; margin: .6rem 0 1rem } select { font: inherit }
.sample { border-top: 1px solid var(--grid); padding: .8rem 0 } .sample h3 { margin: 0 0 .2rem } .views { display: grid; gap: .9rem; grid-template-columns: repeat(auto-fill, minmax(9.3rem, 1fr)) }
.shot { background-blend-mode: normal, luminosity; background-color: #fff; background-size: 100% 100%; border: 1px solid var(--grid); image-rendering: pixelated; print-color-adjust: exact; -webkit-print-color-adjust: exact; width: 100% } .shot.own { background-blend-mode: normal; background-size: 0 0, 100% 100% } .shot img { display: block; height: auto; width: 100%; image-rendering: pixelated }
.views figcaption { font-size: .85rem; line-height: 1.3; margin: .2rem 0 } .question { line-height: 1.7; font-size: .85rem; margin: 0 } .question span { border-radius: .2em; padding: 0 .12em; print-color-adjust: exact; -webkit-print-color-adjust: exact }
`;
