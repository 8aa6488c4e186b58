import type { RunDescription } from '../report/sources.js';
import { contentKey } from '../runner/settings.js';

/** Changes with what coordinators and workers say to each other. */
export const protocolVersion = 1;

/** A run as its coordinator announces it: who measures for it has to be the same. */
export interface Ticket {
  readonly protocol: number;
  readonly id: string;
  /** What run.json says, how the run was asked for included. */
  readonly description: RunDescription;
  readonly gallerySamples: number;
  readonly jobs: number;
  readonly host: string;
  readonly out: string;
  /** ISO 8601, UTC. */
  readonly since: string;
}

/** What a job says besides its id. */
export interface JobData {
  readonly model: string;
  readonly dataset: string;
  readonly sample: string;
  /** Keys of the rows that are wanted. */
  readonly keys: readonly string[];
}

/**
 * Names a run: the same when its coordinator is started again in the same folder, so that it finds what was
 * measured while it was gone.
 */
export function runId(description: RunDescription, host: string, out: string): string {
  const { models, datasets, explainers, settings, versions } = description;
  return contentKey([models, datasets, explainers, settings, versions, host, out]);
}

/** Where things are on the server. Every run has a queue of its own, which only workers like it open. */
export function queueKeys(name: string, run: string) {
  return {
    prefix: 'fsyn',
    queue: `${name}-${run}`,
    runs: `fsyn:${name}:runs`,
    refusals: `fsyn:${name}:refusals:${run}`,
  };
}

/** What an announcement on the server says; undefined for what is none. */
export function readTicket(text: string): Ticket | undefined {
  try {
    const ticket = JSON.parse(text) as Ticket;
    const texts = [ticket.id, ticket.host, ticket.out, ticket.since];
    const whole =
      Number.isInteger(ticket.protocol) &&
      texts.every((value) => typeof value === 'string') &&
      typeof ticket.description === 'object' &&
      ticket.description !== null;
    return whole ? ticket : undefined;
  } catch {
    return undefined;
  }
}
