import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { auditPage } from '../audit/page.js';
import type { AuditedRecord } from '../audit/record.js';
import { runAudit } from '../audit/run.js';
import { summariseAudit } from '../audit/summary.js';
import { renderAudit, renderAuditCsv } from '../audit/text.js';
import { embeddedFamilies, openDatasets } from '../datasets/open.js';
import type { Dataset } from '../datasets/types.js';
import { summaryJson } from '../report/summary.js';
import { loadModels } from '../runner/models.js';
import { type BenchmarkSettings, defaultSettings } from '../runner/settings.js';
import type { RgbImage } from '../vlm/types.js';
import { asUsage, type Command, exitCodes } from './command.js';
import { loadSettings, maskingOf, maskingOptions, runtimeOptions } from './model-options.js';
import { ProgressLine } from './progress.js';

/** An audit costs four cells a question, so it takes more of them than a benchmark does. */
const sizes = { embedded: 20, other: 200 };

export const audit: Command = {
  name: 'audit',
  summary: 'tell how many questions of a dataset need image and text together',
  description:
    'Asks every question four times - whole, without the image, without the words, without both - and says how much of the\n' +
    'answer image alone, text alone and only both together give. Questions that one modality answers cannot tell a faithful\n' +
    'explainer from another. Writes audit.jsonl, audit.csv and audit.html.',
  options: {
    model: {
      kind: 'list',
      value: 'DIR',
      help: 'embedded model or model directory; repeatable',
      fallback: ['llava-tiny'],
    },
    dataset: {
      kind: 'list',
      value: 'NAME',
      help: 'embedded dataset, JSONL file, or repope:DIR, cv-bench:DIR, mmstar:DIR, mmvp:DIR; repeatable',
      fallback: [...embeddedFamilies.keys()],
    },
    'allow-outside': { kind: 'flag', help: 'read pictures that a data file names outside its folder' },
    limit: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      help: `samples per dataset (default: ${sizes.embedded} of an embedded one, ${sizes.other} of another)`,
    },
    seed: { kind: 'integer', value: 'S', minimum: 0, help: 'seed of the samples', fallback: 0 },
    scoring: {
      kind: 'string',
      value: 'KIND',
      choices: ['probability', 'log-probability', 'answer'],
      help: 'value of a cell',
      fallback: 'probability',
    },
    out: { kind: 'string', value: 'DIR', help: 'results folder', fallback: 'results/audit' },
    resume: { kind: 'flag', help: 'go on with the rows in --out' },
    json: { kind: 'flag', help: 'print the summary as JSON' },
    ...maskingOptions,
    ...runtimeOptions,
  },
  async run(values, io) {
    const limit = values.number('limit');
    const seed = values.number('seed')!;
    const datasets = await asUsage(() =>
      openDatasets(values.list('dataset'), {
        size: limit ?? sizes.embedded,
        limit: limit ?? sizes.other,
        seed,
        allowOutside: values.flag('allow-outside'),
      }),
    );
    const models = await asUsage(() => loadModels(values.list('model'), loadSettings(values, io)));
    const progress = new ProgressLine(io);
    const out = values.string('out')!;
    try {
      const { records } = await runAudit({
        models,
        datasets,
        out,
        resume: values.flag('resume'),
        settings: {
          ...defaultSettings,
          ...maskingOf(values),
          seed,
          scoring: values.string('scoring') as BenchmarkSettings['scoring'],
        },
        signal: io.signal,
        onProgress: (done, total, failed) =>
          progress.update(done, total, `questions${failed > 0 ? `, ${failed} failed` : ''}`),
      });
      progress.end();
      const audits = summariseAudit(records, seed);
      const page = join(out, 'audit.html');
      writeFileSync(join(out, 'audit.csv'), renderAuditCsv(records));
      writeFileSync(page, await auditPage(audits, records, (record) => pictureOf(datasets, record)));
      if (values.flag('json')) io.out(`${summaryJson({ out, page, models: audits })}\n`);
      else io.out(`${renderAudit(audits)}\n\nQuestions in ${join(out, 'audit.csv')}; page: ${page}\n`);
      return records.some(({ status }) => status === 'failed') ? exitCodes.failures : exitCodes.ok;
    } finally {
      progress.end();
      for (const model of models) model.dispose();
    }
  },
};

async function pictureOf(datasets: readonly Dataset[], record: AuditedRecord): Promise<RgbImage | null> {
  const dataset = datasets.find(({ name }) => name === record.dataset);
  if (dataset === undefined) return null;
  for await (const sample of dataset.samples()) if (sample.id === record.sample) return sample.image();
  return null;
}
