/**
 * Finds samples in the page: filters, a search and an order that combine and live in the address, so that
 * what is seen can be sent as a link. Plain script without dependencies: it only hides and moves what is
 * there.
 */
export const galleryScript = `
(() => {
  const gallery = document.querySelector('[data-gallery]');
  const filters = [...document.querySelectorAll('[data-filter]')];
  const explainer = document.querySelector('select[data-explainer]');
  const search = document.querySelector('input[data-search]');
  const order = document.querySelector('select[data-order]');
  const samples = [...gallery.querySelectorAll('.sample')];
  const controls = [...filters, explainer, search, order];
  const nameOf = (control) => control.dataset.filter ?? control.name;
  const orders = {
    synergy: (a, b) => number(b, 'synergy') - number(a, 'synergy'),
    lowest: (a, b) => lowest(a) - lowest(b),
    disagreement: (a, b) => number(b, 'disagreement') - number(a, 'disagreement'),
    wrong: (a, b) => (b.dataset.outcome === 'wrong') - (a.dataset.outcome === 'wrong'),
  };
  const number = (sample, field) => (sample.dataset[field] === '' ? -1e9 : Number(sample.dataset[field]));
  const lowest = (sample) => (sample.dataset.synergy === '' ? 1e9 : Number(sample.dataset.synergy));
  const apply = () => {
    const words = search.value.toLowerCase().split(/\\s+/).filter((word) => word !== '');
    let shown = 0;
    for (const sample of samples) {
      const text = sample.querySelector('h3').textContent.toLowerCase();
      const hidden =
        filters.some((f) => f.value !== '' && sample.dataset[f.dataset.filter] !== f.value) ||
        words.some((word) => !text.includes(word));
      sample.hidden = hidden;
      if (!hidden) shown++;
      for (const view of sample.querySelectorAll('figure'))
        view.hidden = explainer.value !== '' && (view.dataset.explainer ?? explainer.value) !== explainer.value;
    }
    const compare = orders[order.value];
    gallery.append(...(compare ? [...samples].sort(compare) : samples));
    document.querySelector('[data-count]').textContent = shown + ' of ' + samples.length + ' samples';
  };
  const write = () => {
    const set = new URLSearchParams();
    for (const control of controls) if (control.value !== '') set.set(nameOf(control), control.value);
    history.replaceState(null, '', '#gallery' + (set.size > 0 ? '?' + set : ''));
  };
  const read = () => {
    if (location.hash !== '' && !location.hash.startsWith('#gallery') && !location.hash.startsWith('#sample/')) return;
    const set = new URLSearchParams(location.hash.split('?')[1] ?? '');
    for (const control of controls) {
      control.value = set.get(nameOf(control)) ?? '';
      if (control.selectedIndex === -1) control.value = '';
    }
    apply();
    const target = location.hash.startsWith('#gallery?')
      ? document.getElementById('gallery')
      : document.getElementById(location.hash.slice(1));
    if (!target) return;
    target.scrollIntoView();
    // Samples that were never drawn have a guessed height, which drawing corrects.
    requestAnimationFrame(() => requestAnimationFrame(() => target.scrollIntoView()));
  };
  for (const control of controls) {
    control.addEventListener('input', () => {
      apply();
      write();
    });
  }
  window.addEventListener('hashchange', read);
  apply();
  read();
})();`;
