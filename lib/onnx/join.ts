import { valueInfo } from './graph.js';
import type { OnnxModel } from './model.js';
import { createMessage, type TensorProto, type ValueInfoProto } from './protobuf.js';
import { upgradeOpset } from './upgrade.js';

/**
 * Puts the graph of `first` beside that of `second`, in a copy of the latter: every name of the former gets
 * the prefix. The two are not connected; the caller adds nodes that are, and drops the inputs that these
 * compute.
 *
 * @returns undefined where one file cannot hold both: weights in two folders, subgraphs in `first`
 */
export function beside(first: OnnxModel, second: OnnxModel, prefix: string): OnnxModel | undefined {
  if (first.folder !== second.folder || hasBodies(first)) return undefined;
  const [added, joined] = [first.clone(), second.clone()];
  const version = Math.max(first.opset(), second.opset());
  for (const model of [added, joined]) upgradeOpset(model, version);
  for (const { domain, version: other } of added.proto.opsetImport) {
    if (domain !== '' && domain !== 'ai.onnx') joined.requireOpset(domain, Number(other));
  }
  if (added.proto.irVersion > joined.proto.irVersion) joined.proto.irVersion = added.proto.irVersion;
  const renamed = (name: string) => (name === '' ? '' : prefix + name);
  const [from, to] = [added.graph.proto, joined.graph.proto];
  for (const node of from.node) {
    node.name = renamed(node.name);
    node.input = node.input.map(renamed);
    node.output = node.output.map(renamed);
    to.node.push(node);
  }
  for (const item of from.initializer) {
    const copy = Object.assign(createMessage('TensorProto') as TensorProto, item);
    copy.name = renamed(item.name);
    to.initializer.push(copy);
  }
  to.input.push(...from.input.map((value) => renamedInput(value, renamed)));
  to.output.push(...from.output.map(({ name }) => createMessage('ValueInfoProto', { name: renamed(name) })));
  joined.graph.touch();
  return joined;
}

function hasBodies({ graph }: OnnxModel): boolean {
  return graph.nodes.some((node) => node.attribute.some((item) => item.g || item.graphs.length > 0));
}

/** Extents that both graphs call by the same name need not be equal, so the first graph's are left open. */
function renamedInput(value: ValueInfoProto, renamed: (name: string) => string): ValueInfoProto {
  const type = value.type?.tensorType;
  const shape = type?.shape?.dim.map((d) => (Object.hasOwn(d, 'dimValue') ? Number(d.dimValue) : ''));
  if (type && shape) return valueInfo(renamed(value.name), type.elemType, shape);
  return Object.assign(createMessage('ValueInfoProto') as ValueInfoProto, value, {
    name: renamed(value.name),
  });
}
