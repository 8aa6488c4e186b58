import { FsynError } from '../errors.js';
import { type AttributeProto, createMessage, type NodeProto, type TensorProto } from './protobuf.js';

const KIND = { float: 1, int: 2, string: 3, tensor: 4, floats: 6, ints: 7, strings: 8 } as const;

/** What an attribute can be made from: a number is an int, `{ float: x }` a float, a list is ints. */
export type AttributeInput = number | readonly number[] | string | { readonly float: number } | TensorProto;

export type AttributeInputs = Readonly<Record<string, AttributeInput | undefined>>;

export function findAttribute(node: NodeProto, name: string): AttributeProto | undefined {
  return node.attribute.find((attribute) => attribute.name === name);
}

export function intAttribute(node: NodeProto, name: string, fallback: number): number {
  const found = findAttribute(node, name);
  return found ? Number(found.i) : fallback;
}

export function floatAttribute(node: NodeProto, name: string, fallback: number): number {
  return findAttribute(node, name)?.f ?? fallback;
}

export function stringAttribute(node: NodeProto, name: string, fallback: string): string {
  const found = findAttribute(node, name);
  return found ? Buffer.from(found.s).toString('utf8') : fallback;
}

export function intsAttribute(node: NodeProto, name: string): number[] | undefined {
  return findAttribute(node, name)?.ints.map(Number);
}

/** The attributes of a node in the form that `attributes()` takes, for building a similar node. */
export function copyAttributes(node: NodeProto): Record<string, AttributeInput> {
  const copied: Record<string, AttributeInput> = {};
  for (const attribute of node.attribute) {
    if (attribute.type === KIND.float) copied[attribute.name] = { float: attribute.f };
    else if (attribute.type === KIND.int) copied[attribute.name] = Number(attribute.i);
    else if (attribute.type === KIND.ints) copied[attribute.name] = attribute.ints.map(Number);
    else if (attribute.type === KIND.string)
      copied[attribute.name] = Buffer.from(attribute.s).toString('utf8');
    else if (attribute.type === KIND.tensor && attribute.t) copied[attribute.name] = attribute.t;
    else {
      throw new FsynError(
        'UNSUPPORTED_OPERATOR',
        `Attribute ${attribute.name} of ${node.opType} (${node.name}) has a type that cannot be copied.`,
      );
    }
  }
  return copied;
}

/** Builds the attribute list of a node; undefined values are left out. */
export function attributes(values: AttributeInputs): AttributeProto[] {
  const built: AttributeProto[] = [];
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined) built.push(attribute(name, value));
  }
  return built;
}

function attribute(name: string, value: AttributeInput): AttributeProto {
  if (typeof value === 'number')
    return createMessage('AttributeProto', { name, type: KIND.int, i: BigInt(value) });
  if (typeof value === 'string')
    return createMessage('AttributeProto', { name, type: KIND.string, s: Buffer.from(value, 'utf8') });
  if (Array.isArray(value))
    return createMessage('AttributeProto', { name, type: KIND.ints, ints: value.map(BigInt) });
  if ('float' in value) return createMessage('AttributeProto', { name, type: KIND.float, f: value.float });
  return createMessage('AttributeProto', { name, type: KIND.tensor, t: value as TensorProto });
}
