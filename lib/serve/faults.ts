/** What a server of tests does wrong on purpose; real servers were seen to do each of these. */
export interface ServerFaults {
  /** Answers every n-th request with 429 and a Retry-After of a fraction of a second; 0 for none. */
  readonly busyEvery: number;
  /** Drops the connection of every n-th request; 0 for none. */
  readonly resetEvery: number;
  /** Gives at most this many tokens, whatever is asked for; 0 for all. */
  readonly topK: number;
  /** Takes pictures for equal whose hashes agree in this many bits; 0 for whole hashes. */
  readonly hashBits: number;
  /** Deviation of noise on every log-probability, as batches of changing mates make it. */
  readonly noise: number;
  /** Gives log-probabilities after biases and penalties instead of the model's own. */
  readonly processed: boolean;
  /** Halves pictures before the model sees them. */
  readonly resize: boolean;
  /** Stores pictures as JPEG with halved colours before the model sees them. */
  readonly jpeg: boolean;
  /** Drops the picture. */
  readonly blind: boolean;
}

export const noFaults: ServerFaults = {
  busyEvery: 0,
  resetEvery: 0,
  topK: 0,
  hashBits: 0,
  noise: 0,
  processed: false,
  resize: false,
  jpeg: false,
  blind: false,
};
