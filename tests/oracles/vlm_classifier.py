"""Two tiny image-and-question classifiers with random weights and golden log-probabilities computed by NumPy.

Run: python tests/oracles/vlm_classifier.py   (writes tests/golden/vlm-classifier/)
"""

import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageFilter

from vlm_pixels import picture

folder = pathlib.Path(__file__).parent.parent / "golden" / "vlm-classifier"
rng = np.random.default_rng(11)
height, width, rows, columns = 6, 8, 3, 4
words = ["is", "the", "shape", "red", "blue", "round"]
answers = ["yes", "no", "red"]


def weight(name, *shape):
    return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)


def save(name, nodes, inputs, weights):
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(answers)])
    graph = helper.make_graph(nodes, name, inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, folder / f"{name}.onnx")


def image_input(shape):
    return helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *shape])


def bag_of_words():
    pixels = weight("w_image", height * width * 3, 5)
    text = weight("w_text", len(words) + 1, 5)
    head = weight("w_head", 5, len(answers))
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w_image"], ["i"]),
        helper.make_node("MatMul", ["bow", "w_text"], ["t"]),
        helper.make_node("Tanh", ["i"], ["ti"]),
        helper.make_node("Mul", ["ti", "t"], ["joint"]),
        helper.make_node("MatMul", ["joint", "w_head"], ["logits"]),
    ]
    bow = helper.make_tensor_value_info("bow", TensorProto.FLOAT, ["n", len(words) + 1])
    save("bag", nodes, [image_input([height, width, 3]), bow], [pixels, text, head])
    arrays = [numpy_helper.to_array(a).astype(np.float64) for a in (pixels, text, head)]

    def forward(image, counts):
        return np.tanh(image.reshape(-1) @ arrays[0]) * (counts @ arrays[1]) @ arrays[2]

    return forward


def token_ids():
    pixels = weight("w_image", height * width * 3, 5)
    table = weight("table", len(words) + 2, 5)
    head = weight("w_head", 5, len(answers))
    axes = numpy_helper.from_array(np.array([1]), "axes")
    last = numpy_helper.from_array(np.array([-1]), "last")
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w_image"], ["i"]),
        helper.make_node("Tanh", ["i"], ["ti"]),
        helper.make_node("Gather", ["table", "ids"], ["e"]),
        helper.make_node("Unsqueeze", ["mask", "last"], ["m"]),
        helper.make_node("Cast", ["m"], ["mf"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["e", "mf"], ["em"]),
        helper.make_node("ReduceSum", ["em", "axes"], ["t"], keepdims=0),
        helper.make_node("Mul", ["ti", "t"], ["joint"]),
        helper.make_node("MatMul", ["joint", "w_head"], ["logits"]),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", 7])
    mask = helper.make_tensor_value_info("mask", TensorProto.INT64, ["n", 7])
    save("tokens", nodes, [image_input([3, height, width]), ids, mask], [pixels, table, head, axes, last])
    arrays = [numpy_helper.to_array(a).astype(np.float64) for a in (pixels, table, head)]

    def forward(image, sequence, attention):
        text = (arrays[1][sequence] * attention[:, None]).sum(0)
        return np.tanh(image.transpose(2, 0, 1).reshape(-1) @ arrays[0]) * text @ arrays[2]

    return forward


def log_softmax(logits):
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def pixels_of(image):
    resized = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)).astype(np.float64)
    return resized / 255 - 0.5


def main():
    folder.mkdir(exist_ok=True)
    bag, tokens = bag_of_words(), token_ids()
    question = "Is the red shape red?"
    indices = [words.index(w) + 1 for w in ["is", "the", "red", "shape", "red"]]
    image = picture(30, 50)
    blurred = image.filter(ImageFilter.GaussianBlur(30 / 640 * 50))
    full, base = pixels_of(image), pixels_of(blurred)
    cells = []
    for case in range(12):
        image_mask = rng.integers(0, 2, rows * columns) if case else np.ones(rows * columns, int)
        text_mask = rng.integers(0, 2, len(indices)) if case else np.ones(len(indices), int)
        grid = image_mask.reshape(rows, columns).repeat(height // rows, 0).repeat(width // columns, 1)
        mixed = np.where(grid[..., None] == 1, full, base)
        counts = np.zeros(len(words) + 1)
        for index, present in zip(indices, text_mask):
            counts[index] += present
        sequence = np.array([i if p else 0 for i, p in zip(indices, text_mask)] + [0, 0])
        removed = np.array([*text_mask, 0, 0])
        attended = np.array([1] * len(indices) + [0, 0])
        cells.append(
            {
                "image": image_mask.tolist(),
                "text": text_mask.tolist(),
                "bag": log_softmax(bag(mixed, counts)).tolist(),
                "remove": log_softmax(tokens(mixed, sequence, removed)).tolist(),
                "attend": log_softmax(tokens(mixed, sequence, attended)).tolist(),
            }
        )
    golden = {"question": question, "size": [30, 50], "answers": answers, "cells": cells}
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    vocabulary = {word: i + 1 for i, word in enumerate(words)}
    shared = {"height": height, "width": width, "mean": [0.5, 0.5, 0.5], "rows": rows, "columns": columns}
    for name, layout, text in [
        ("bag", "NHWC", {"input": "bow", "encoding": "bag-of-words", "vocabulary": vocabulary}),
        (
            "tokens",
            "NCHW",
            {"input": "ids", "encoding": "token-ids", "vocabulary": vocabulary, "padId": 0, "unknown": 7, "length": 7,
             "attentionInput": "mask"},
        ),
    ]:
        manifest = {
            "format": "fsyn-classifier-1",
            "model": f"{name}.onnx",
            "image": {"input": "image", "layout": layout, **shared},
            "question": text,
            "output": {"logits": "logits", "answers": answers},
        }
        (folder / f"{name}.json").write_text(json.dumps(manifest, indent=2) + "\n")


main()
