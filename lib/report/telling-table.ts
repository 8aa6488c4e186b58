import { decimal } from '../text-table.js';
import type { ExplainerStyle } from './explainer-style.js';
import type { ReportTable } from './report-tables.js';
import type { TellingSample } from './telling.js';

export function tellingTable(telling: readonly TellingSample[], style: ExplainerStyle): ReportTable {
  return {
    head: [
      'what it tells',
      'sample',
      'explainer',
      'image SRG',
      'text SRG',
      'F_syn',
      'larger F_syn',
      'of its kind',
    ],
    body: telling.map((one) => [
      one.kind,
      `${one.dataset}: ${one.sample}`,
      style.title(one.explainer),
      decimal(one.imageSrg, 2),
      decimal(one.textSrg, 2),
      decimal(one.synergy, 2),
      one.better === null ? '-' : style.title(one.better),
      String(one.count),
    ]),
  };
}
