import { addon } from '../addon/addon.js';
import { checkOneOf } from '../checks.js';
import { FsynError, invalidArgument } from '../errors.js';

/** Where values are computed. */
export type Device = 'cpu' | 'cuda';

/** What CUDA is here, for `fsyn doctor`. */
export interface CudaFacts {
  /** Name of the device in use; null when there is none. */
  readonly device: string | null;
  /** Bytes of its memory that are free. */
  readonly memory: number;
  /** What is missing: the plugin library, its version or a device; null when nothing is. */
  readonly problem: string | null;
}

/** The CUDA plugin and its device: the library beside the addon, or the one that FSYN_CUDA_PLUGIN names. */
export function cudaFacts(): CudaFacts {
  try {
    const { name, memory } = addon().cudaDevice();
    return { device: name, memory, problem: null };
  } catch (error) {
    if (!(error instanceof FsynError)) throw error;
    return { device: null, memory: 0, problem: error.message };
  }
}

/**
 * From this many players on, computing all orders takes so much longer than copying the table that a device
 * pays.
 */
const WORTH_COPYING = 18;

/**
 * What a computation asks of a device: players of its table, tables held at once, and whether it reads the
 * table once only.
 */
export interface DeviceNeeds {
  readonly players: number;
  readonly tables: number;
  readonly oneRead: boolean;
}

/**
 * The device that 'auto' means: CUDA for transforms of a large table that fits there. What reads the table
 * once stays on the processor, because copying the table to the device reads it once as well.
 */
export function chooseDevice(
  wanted: Device | 'auto',
  kernels: string,
  { players, tables, oneRead }: DeviceNeeds,
): Device {
  if (wanted === 'cuda' && kernels !== '')
    throw invalidArgument('kernels', "'' with device 'cuda': kernel sets are the processor's", kernels);
  checkOneOf('device', wanted, ['auto', 'cpu', 'cuda']);
  if (wanted !== 'auto') return wanted;
  if (kernels !== '' || oneRead || players < WORTH_COPYING) return 'cpu';
  const { device, memory } = cudaFacts();
  return device !== null && tables * 8 * 2 ** players <= memory ? 'cuda' : 'cpu';
}
