import type { RunDescription } from '../report/sources.js';
import type { JobOutcome, SampleJob } from './sample-job.js';

/** A job, and those of its rows that are not there yet. */
export interface DistributedJob {
  readonly job: SampleJob;
  readonly wanted: SampleJob['rows'];
}

/** What somebody needs who has a run's samples measured elsewhere. */
export interface Distribution {
  readonly jobs: readonly DistributedJob[];
  /** What run.json says: whoever measures has to be the same. */
  readonly description: RunDescription;
  readonly gallerySamples: number;
  /** The results folder, which tells two runs of the same description apart. */
  readonly out: string;
  readonly onNote: (text: string) => void;
  readonly signal: AbortSignal | undefined;
  /** Keeps the rows of a job; they are on the disk when it returns. Called once for every job. */
  readonly onDone: (job: DistributedJob, outcome: JobOutcome) => void;
  /** Hears how many processes are measuring. */
  readonly onWorkers: (workers: number) => void;
}

/** Has all jobs measured; rejects with the signal's reason when aborted. */
export type Distribute = (distribution: Distribution) => Promise<void>;
