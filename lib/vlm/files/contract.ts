import { FsynError } from '../../errors.js';
import type { Session, TensorInfo } from '../../inference/session.js';

/** A loaded graph of a model directory with the path that messages name. */
export interface Graph {
  readonly session: Session;
  readonly path: string;
}

function list(tensors: readonly TensorInfo[]): string {
  return tensors
    .map(({ name, shape }) => `${name}[${shape.map((s) => (s === '' ? '?' : s)).join(',')}]`)
    .join(', ');
}

function missing(graph: Graph, kind: 'input' | 'output', expected: string): FsynError {
  const present = kind === 'input' ? graph.session.inputs : graph.session.outputs;
  return new FsynError(
    'MODEL_CONTRACT',
    `Expected an ${kind} ${expected} in ${JSON.stringify(graph.path)}; it has: ${list(present)}.`,
  );
}

/** The graph's input of that name. @throws FsynError MODEL_CONTRACT listing the inputs that there are */
export function requireInput(graph: Graph, name: string): TensorInfo {
  const found = graph.session.inputs.find((input) => input.name === name);
  if (found === undefined) throw missing(graph, 'input', JSON.stringify(name));
  return found;
}

/** The graph's output of that name. @throws FsynError MODEL_CONTRACT listing the outputs that there are */
export function requireOutput(graph: Graph, name: string): TensorInfo {
  const found = graph.session.outputs.find((output) => output.name === name);
  if (found === undefined) throw missing(graph, 'output', JSON.stringify(name));
  return found;
}

/** Rejects inputs that nobody would feed. */
export function rejectUnknownInputs(graph: Graph, known: (name: string) => boolean): void {
  const unknown = graph.session.inputs.filter((input) => !known(input.name));
  if (unknown.length === 0) return;
  throw new FsynError(
    'MODEL_CONTRACT',
    `Unknown input ${unknown.map(({ name }) => JSON.stringify(name)).join(', ')} in ${JSON.stringify(graph.path)}; ` +
      'it is not part of the contract that docs/models.md describes.',
  );
}

/** Throws unless the tensor has the given rank and, where given, element type. */
export function requireTensor(
  graph: Graph,
  info: TensorInfo,
  rank: number,
  types: readonly TensorInfo['elementType'][],
): void {
  if (info.shape.length !== rank || !types.includes(info.elementType)) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected ${types.join(' or ')} of rank ${rank} for ${JSON.stringify(info.name)} in ${JSON.stringify(graph.path)}; ` +
        `it is ${info.elementType} [${info.shape.join(', ')}].`,
    );
  }
}
