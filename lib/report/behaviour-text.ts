import type { Behaviour } from '../metrics/modality.js';

/** What a reader calls a behaviour. */
export const behaviourText: Readonly<Record<Behaviour, string>> = {
  both: 'needs both',
  text: 'text is enough',
  image: 'image is enough',
  either: 'either is enough',
  neither: 'hardly depends on the input',
};
