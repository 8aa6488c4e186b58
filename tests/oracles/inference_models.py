"""Writes the tiny ONNX models that the inference tests load (tests/fixtures/inference).

Run: python tests/oracles/inference_models.py
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "inference"


def save(name, nodes, inputs, outputs, initializers=(), opset=17, metadata=None, external=None):
    graph = h.make_graph(nodes, name, inputs, outputs, initializer=list(initializers))
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], producer_name="fsyn-tests", domain="fsyn.test", doc_string=f"{name} test graph")
    model.ir_version = 8
    model.model_version = 7
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    path = FOLDER / f"{name}.onnx"
    if external:
        onnx.save_model(model, path, save_as_external_data=True, location=external, size_threshold=0)
    else:
        onnx.save_model(model, path)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    value = h.make_tensor_value_info

    weights = np.arange(12, dtype=np.float32).reshape(4, 3) / 8
    save(
        "affine",
        [h.make_node("MatMul", ["x", "w"], ["p"]), h.make_node("Add", ["p", "b"], ["y"])],
        [value("x", T.FLOAT, ["batch", 4])],
        [value("y", T.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.float32([1, 2, 3]), "b")],
        metadata={"purpose": "tests", "colour": "blue"},
    )
    save(
        "external",
        [h.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", T.FLOAT, ["batch", 4])],
        [value("y", T.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "w")],
        external="external.onnx_data",
    )

    # Every element type that fsyn carries, passed through unchanged.
    types = {
        "float32": T.FLOAT, "float64": T.DOUBLE, "float16": T.FLOAT16, "bfloat16": T.BFLOAT16, "int64": T.INT64,
        "uint64": T.UINT64, "int32": T.INT32, "uint32": T.UINT32, "int16": T.INT16, "uint16": T.UINT16,
        "int8": T.INT8, "uint8": T.UINT8, "bool": T.BOOL,
    }
    save(
        "types",
        [h.make_node("Identity", [f"{name}_in"], [f"{name}_out"]) for name in types],
        [value(f"{name}_in", kind, ["n"]) for name, kind in types.items()],
        [value(f"{name}_out", kind, ["n"]) for name, kind in types.items()],
    )

    # A cache that grows: `past` [n, d] and `x` [1, d] give `present` [n + 1, d] and its sum.
    save(
        "cache",
        [
            h.make_node("Concat", ["past", "x"], ["present"], axis=0),
            h.make_node("ReduceSum", ["present"], ["total"], keepdims=0),
        ],
        [value("past", T.FLOAT, ["n", 2]), value("x", T.FLOAT, [1, 2])],
        [value("present", T.FLOAT, ["m", 2]), value("total", T.FLOAT, [])],
    )

    # Fails while running unless x has exactly 4 elements.
    save(
        "square",
        [h.make_node("Reshape", ["x", "shape"], ["y"])],
        [value("x", T.FLOAT, ["n"])],
        [value("y", T.FLOAT, [2, 2])],
        [numpy_helper.from_array(np.int64([2, 2]), "shape")],
    )

    # A run whose length the caller chooses: x <- tanh(x @ w) repeated n times.
    size = 256
    body = h.make_graph(
        [
            h.make_node("Identity", ["keep_going"], ["keep_going_out"]),
            h.make_node("MatMul", ["state", "w"], ["product"]),
            h.make_node("Tanh", ["product"], ["next"]),
        ],
        "body",
        [value("i", T.INT64, []), value("keep_going", T.BOOL, []), value("state", T.FLOAT, [size, size])],
        [value("keep_going_out", T.BOOL, []), value("next", T.FLOAT, [size, size])],
    )
    save(
        "loop",
        [
            h.make_node("Range", ["start", "count", "step"], ["ramp"]),
            h.make_node("Sin", ["ramp"], ["wave"]),
            h.make_node("Mul", ["wave", "scale"], ["small"]),
            h.make_node("Reshape", ["small", "shape"], ["w"]),
            h.make_node("Loop", ["n", "go_on", "x"], ["y"], body=body),
        ],
        [value("n", T.INT64, []), value("x", T.FLOAT, [size, size])],
        [value("y", T.FLOAT, [size, size])],
        [
            numpy_helper.from_array(np.array(True), "go_on"),
            numpy_helper.from_array(np.float32(0), "start"),
            numpy_helper.from_array(np.float32(0.37 * (size * size - 0.5)), "count"),
            numpy_helper.from_array(np.float32(0.37), "step"),
            numpy_helper.from_array(np.float32(0.06), "scale"),
            numpy_helper.from_array(np.int64([size, size]), "shape"),
        ],
    )

    graph = h.make_graph(
        [h.make_node("Mystery", ["x"], ["y"], domain="fsyn.unknown")],
        "unknown_operator",
        [value("x", T.FLOAT, ["n"])],
        [value("y", T.FLOAT, ["n"])],
    )
    imports = [h.make_opsetid("", 17), h.make_opsetid("fsyn.unknown", 1)]
    model = h.make_model(graph, opset_imports=imports)
    model.ir_version = 8
    (FOLDER / "unknown_operator.onnx").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
