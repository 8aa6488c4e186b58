"""Makes model directories in the layouts of published exports from the embedded models.

    python bench/layouts/make.py OUT [--model llava-tiny ...] [--layout q4f16 ...]

Writes OUT/MODEL/LAYOUT, and OUT/MODEL/LAYOUT.txt with the reason where a layout cannot be made of a model.
Needs torch, transformers, onnx, onnxscript and onnxruntime; `node dist/bench/layouts/compare.js OUT` reads the result.
"""

import argparse
import logging
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path += [str(ROOT / "tests" / "oracles"), str(ROOT / "bench" / "models" / "training")]

PARTS = ("vision_encoder", "embed_tokens", "decoder_model_merged")
INLINE = 256


class Impossible(Exception):
    """A layout that does not exist for a model, and why."""


def half(model, keep_io):
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(model, keep_io_types=keep_io, disable_shape_infer=True)


def four_bits(model, bits=4, symmetric=True, accuracy=None):
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    config = DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=symmetric, accuracy_level=accuracy, bits=bits)
    quantizer = MatMulNBitsQuantizer(model, algo_config=config)
    quantizer.process()
    return quantizer.model.model


def normal_floats(model):
    from onnxruntime.quantization.matmul_bnb4_quantizer import MatMulBnb4Quantizer

    quantizer = MatMulBnb4Quantizer(model, MatMulBnb4Quantizer.NF4, 64)
    quantizer.process()
    return quantizer.model.model


def dynamic(model, unsigned):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kind = QuantType.QUInt8 if unsigned else QuantType.QInt8
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quantized.onnx"
        quantize_dynamic(model, path, weight_type=kind, extra_options={"EnableSubgraph": True, "MatMulConstBOnly": True})
        return onnx.load(path)


def integers(model):
    """Weights in int8, one scale per column, made floats by DequantizeLinear in front of their products."""
    tensors = {item.name: item for item in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        item = tensors.get(node.input[1]) if node.op_type == "MatMul" else None
        if item is not None and len(item.dims) == 2:
            weight = numpy_helper.to_array(item)
            scale = np.maximum(np.abs(weight).max(0), 1e-30) / 127
            name = item.name
            model.graph.initializer.append(numpy_helper.from_array(np.round(weight / scale).astype(np.int8), f"{name}_quantized"))
            model.graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"))
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}_quantized", f"{name}_scale"], [f"{name}_dequantized"], axis=1))
            node.input[1] = f"{name}_dequantized"
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [item for item in model.graph.initializer if item.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def outside(model, path, pieces):
    """Saves a model with its larger tensors in several files beside it, in turns."""
    large = [item for item in model.graph.initializer if len(numpy_helper.to_array(item).tobytes()) >= INLINE]
    files = [path.name + "_data" + (f"_{piece}" if piece else "") for piece in range(pieces)]
    contents = {name: bytearray() for name in files}
    for turn, item in enumerate(large):
        name = files[turn % pieces]
        data = numpy_helper.to_array(item).tobytes()
        contents[name] += b"\0" * (-len(contents[name]) % 4096)
        for field in ("raw_data", "float_data", "int32_data", "int64_data"):
            item.ClearField(field)
        item.data_location = TensorProto.EXTERNAL
        entries = {"location": name, "offset": len(contents[name]), "length": len(data)}
        for key, value in entries.items():
            entry = item.external_data.add()
            entry.key, entry.value = key, str(value)
        contents[name] += data
    for name, content in contents.items():
        (path.parent / name).write_bytes(content)
    path.write_bytes(model.SerializeToString())


class Source:
    """An embedded model: its directory and, when asked for, its PyTorch class."""

    def __init__(self, name):
        self.name = name
        self.folder = ROOT / "bench" / "models" / name / "model"
        self._torch = None

    @property
    def torch(self):
        if self._torch is None:
            from embedded_models import Embedded

            self._torch = Embedded(self.name, float64=False).model
        return self._torch

    @property
    def language(self):
        return self.torch.model.language_model

    def part(self, part):
        return onnx.load(self.folder / "onnx" / f"{part}.onnx")

    def copy(self, target):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.folder, target)


def converted(convert, suffix):
    """A layout that changes each part of its own."""

    def make(source, target):
        source.copy(target)
        for part in PARTS:
            path = target / "onnx" / f"{part}.onnx"
            path.unlink()
            onnx.save(convert(source.part(part)), path.with_name(f"{part}{suffix}.onnx"))

    return make


def in_pieces(source, target):
    source.copy(target)
    for part in PARTS:
        outside(source.part(part), target / "onnx" / f"{part}.onnx", 3)


def written(convert=lambda model: model, suffix="", **style):
    """A layout with another decoder; the other parts stay in float32."""

    def make(source, target):
        from decoders import Style, write_decoder

        source.copy(target)
        path = target / "onnx" / "decoder_model_merged.onnx"
        try:
            write_decoder(source.language, source.torch.lm_head, path, Style(**style))
        except ValueError as error:
            raise Impossible(str(error)) from error
        model = convert(onnx.load(path))
        path.unlink()
        onnx.save(model, path.with_name(f"decoder_model_merged{suffix}.onnx"))

    return make


def exported(opset):
    """The newer exporter of PyTorch, with its fused attention."""

    def make(source, target):
        from dynamo import export

        source.copy(target)
        export(source, target / "onnx", opset)

    return make


LAYOUTS = {
    "fp32": lambda source, target: source.copy(target),
    "fp32, external data in three files": in_pieces,
    "fp16": converted(lambda model: half(model, False), "_fp16"),
    "fp16, inputs and outputs fp32": converted(lambda model: half(model, True), "_fp16"),
    "q4": converted(four_bits, "_q4"),
    "q4, zero points": converted(lambda model: four_bits(model, symmetric=False), "_q4"),
    "q4, accuracy level 4": converted(lambda model: four_bits(model, accuracy=4), "_q4"),
    "q4f16": converted(lambda model: half(four_bits(model), True), "_q4f16"),
    "q2": converted(lambda model: four_bits(model, bits=2), "_q2"),
    "bnb4": converted(normal_floats, "_bnb4"),
    "int8": converted(lambda model: dynamic(model, False), "_int8"),
    "uint8": converted(lambda model: dynamic(model, True), "_uint8"),
    "quantized (q8)": converted(lambda model: dynamic(model, True), "_quantized"),
    "int8 weights, DequantizeLinear": converted(integers, "_int8"),
    "GQA, rotation outside": written(),
    "GQA, rotation inside": written(rotation="inside"),
    "GQA, rotation inside, position_ids": written(rotation="positions"),
    "GQA, rotation inside, packed": written(rotation="inside", packed=True),
    "GQA, rotation inside, packed, position_ids": written(rotation="positions", packed=True, skip=True),
    "GQA, rotation inside, packed, q4f16": written(
        # The cache stays in half precision, as in published files: the runtime cannot run the operator between casts.
        lambda model: half(four_bits(model), ["inputs_embeds", "logits"]), "_q4f16", rotation="inside", packed=True, skip=True
    ),
    "opset 18 (PyTorch's newer exporter)": exported(18),
    "opset 23 (PyTorch's newer exporter)": exported(23),
    "opset 23, standard operators": written(standard=True),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", nargs="*", default=["llava-tiny", "qwen2_5_vl-tiny", "internvl-tiny"])
    parser.add_argument("--layout", nargs="*", default=list(LAYOUTS), choices=list(LAYOUTS))
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    for name in arguments.model:
        source = Source(name)
        for layout in arguments.layout:
            target = arguments.out / name / layout
            reason = target.with_name(f"{layout}.txt")
            reason.unlink(missing_ok=True)
            try:
                LAYOUTS[layout](source, target)
                print(name, layout, flush=True)
            except Impossible as error:
                shutil.rmtree(target, ignore_errors=True)
                reason.write_text(f"{error}\n")
                print(name, layout, f"cannot be made: {error}", flush=True)


if __name__ == "__main__":
    main()
