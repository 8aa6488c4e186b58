import { create, createFileRegistry, type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import { FsynError } from '../errors.js';

/** A key and a value; `external_data` of a tensor is a list of them. */
export interface StringStringEntryProto {
  key: string;
  value: string;
}

/** A constant tensor: inline bytes, typed lists, or a byte range of another file (`dataLocation` 1). */
export interface TensorProto {
  dims: bigint[];
  dataType: number;
  floatData: number[];
  int32Data: number[];
  stringData: Uint8Array[];
  int64Data: bigint[];
  name: string;
  rawData: Uint8Array;
  doubleData: number[];
  uint64Data: bigint[];
  externalData: StringStringEntryProto[];
  dataLocation: number;
}

export interface AttributeProto {
  name: string;
  type: number;
  f: number;
  i: bigint;
  s: Uint8Array;
  t?: TensorProto;
  g?: GraphProto;
  floats: number[];
  ints: bigint[];
  strings: Uint8Array[];
  tensors: TensorProto[];
  graphs: GraphProto[];
}

export interface NodeProto {
  input: string[];
  output: string[];
  name: string;
  opType: string;
  domain: string;
  attribute: AttributeProto[];
}

export interface DimensionProto {
  dimValue: bigint;
  dimParam: string;
}

export interface TypeProto {
  tensorType?: { elemType: number; shape?: { dim: DimensionProto[] } };
}

export interface ValueInfoProto {
  name: string;
  type?: TypeProto;
}

export interface GraphProto {
  node: NodeProto[];
  name: string;
  initializer: TensorProto[];
  input: ValueInfoProto[];
  output: ValueInfoProto[];
  valueInfo: ValueInfoProto[];
}

export interface OperatorSetIdProto {
  domain: string;
  version: bigint;
}

export interface ModelProto {
  irVersion: bigint;
  opsetImport: OperatorSetIdProto[];
  producerName: string;
  producerVersion: string;
  graph?: GraphProto;
}

interface Messages {
  ModelProto: ModelProto;
  GraphProto: GraphProto;
  NodeProto: NodeProto;
  AttributeProto: AttributeProto;
  TensorProto: TensorProto;
  ValueInfoProto: ValueInfoProto;
  TypeProto: TypeProto;
  OperatorSetIdProto: OperatorSetIdProto;
  StringStringEntryProto: StringStringEntryProto;
}

// Field name, number and type of everything that fsyn reads or writes; `*` is repeated, `packed` as in
// onnx.proto. Whatever is not listed (functions, training info, sparse tensors, metadata) is carried along as
// unknown fields. Enumerations are declared int32 and the one-of of TypeProto a plain field: both have the
// same wire format.
const SCHEMA: Record<string, string> = {
  StringStringEntryProto: 'key 1 string, value 2 string',
  TensorProto:
    'dims 1 int64*, data_type 2 int32, float_data 4 float* packed, int32_data 5 int32* packed, string_data 6 bytes*, ' +
    'int64_data 7 int64* packed, name 8 string, raw_data 9 bytes, double_data 10 double* packed, ' +
    'uint64_data 11 uint64* packed, external_data 13 StringStringEntryProto*, data_location 14 int32',
  AttributeProto:
    'name 1 string, f 2 float, i 3 int64, s 4 bytes, t 5 TensorProto, g 6 GraphProto, floats 7 float*, ints 8 int64*, ' +
    'strings 9 bytes*, tensors 10 TensorProto*, graphs 11 GraphProto*, type 20 int32',
  NodeProto:
    'input 1 string*, output 2 string*, name 3 string, op_type 4 string, attribute 5 AttributeProto*, domain 7 string',
  Dimension: 'dim_value 1 int64, dim_param 2 string',
  TensorShapeProto: 'dim 1 Dimension*',
  TensorTypeProto: 'elem_type 1 int32, shape 2 TensorShapeProto',
  TypeProto: 'tensor_type 1 TensorTypeProto',
  ValueInfoProto: 'name 1 string, type 2 TypeProto',
  GraphProto:
    'node 1 NodeProto*, name 2 string, initializer 5 TensorProto*, input 11 ValueInfoProto*, ' +
    'output 12 ValueInfoProto*, value_info 13 ValueInfoProto*',
  OperatorSetIdProto: 'domain 1 string, version 2 int64',
  ModelProto:
    'ir_version 1 int64, producer_name 2 string, producer_version 3 string, graph 7 GraphProto, ' +
    'opset_import 8 OperatorSetIdProto*',
};

const SCALARS: Record<string, Type> = {
  string: Type.STRING,
  bytes: Type.BYTES,
  int32: Type.INT32,
  int64: Type.INT64,
  uint64: Type.UINT64,
  float: Type.FLOAT,
  double: Type.DOUBLE,
};

const descriptors = buildDescriptors();

function buildDescriptors(): ReadonlyMap<string, DescMessage> {
  const file = create(FileDescriptorProtoSchema, {
    name: 'onnx.proto',
    package: 'onnx',
    syntax: 'proto2',
    messageType: Object.entries(SCHEMA).map(([name, fields]) => ({
      name,
      field: fields.split(', ').map(parseField),
    })),
  });
  const registry = createFileRegistry(file, () => undefined);
  const found = new Map<string, DescMessage>();
  for (const name of Object.keys(SCHEMA)) found.set(name, registry.getMessage(`onnx.${name}`) as DescMessage);
  return found;
}

function parseField(text: string) {
  const [name, number, declared, packed] = text.split(' ') as [string, string, string, string?];
  const type = declared.replace('*', '');
  const scalar = SCALARS[type];
  return {
    name,
    number: Number(number),
    label: declared.endsWith('*') ? Label.REPEATED : Label.OPTIONAL,
    ...(scalar === undefined ? { type: Type.MESSAGE, typeName: `.onnx.${type}` } : { type: scalar }),
    ...(packed ? { options: { packed: true } } : {}),
  };
}

function descriptor(name: string): DescMessage {
  return descriptors.get(name) as DescMessage;
}

/** Creates a message with defaults for the fields that `init` leaves out. */
export function createMessage<K extends keyof Messages>(
  kind: K,
  init: Partial<Messages[K]> = {},
): Messages[K] {
  return create(descriptor(kind), init as never) as unknown as Messages[K];
}

/**
 * Parses a serialised ONNX model. Byte fields are views into `bytes`, never copies; unknown fields are kept.
 *
 * @throws FsynError `MODEL_FILE` when the bytes are not an ONNX model
 */
export function parseModel(bytes: Uint8Array): ModelProto {
  try {
    const model = fromBinary(descriptor('ModelProto'), bytes) as unknown as ModelProto;
    if (!model.graph) throw new FsynError('MODEL_FILE', 'The ONNX model has no graph.');
    return model;
  } catch (cause) {
    if (cause instanceof FsynError) throw cause;
    throw new FsynError('MODEL_FILE', 'The bytes are not a valid ONNX model (protobuf decoding failed).', {
      cause,
    });
  }
}

/** Serialises a model, unknown fields included. */
export function serializeModel(model: ModelProto): Uint8Array {
  return toBinary(descriptor('ModelProto'), model as never);
}
