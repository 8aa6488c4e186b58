"""Exports to the layout of the transformers.js ecosystem, in plain ONNX operators.

An initializer `NAME` or `NAME.transposed` holds the checkpoint's tensor NAME, so the files are also the checkpoint
(see tests/oracles/embedded_models.py).
"""

import json
import warnings

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from packed import angle_tables

OPSET = 17
IMAGE_PROCESSOR = {
    "do_convert_rgb": True, "do_resize": True, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


class Decoder(nn.Module):
    """The decoder with its key/value cache as inputs and outputs; a key whose attention_mask is 0 gets no weight at all."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs_embeds, attention_mask, position_ids, *past):
        language = self.model.model.language_model
        config = language.config
        heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
        length, total = inputs_embeds.shape[1], attention_mask.shape[1]
        cos, sin = (table[:, None] for table in angle_tables(language, position_ids))
        key = torch.arange(total)
        allowed = (key[None, :] <= key[total - length :, None])[None, None] & (attention_mask[:, None, None, :] > 0)
        lowest = torch.tensor(torch.finfo(torch.float32).min)

        def rotate(x):
            half = size // 2
            return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin

        x, presents = inputs_embeds, []
        for number, layer in enumerate(language.layers):
            attention = layer.self_attn
            y = layer.input_layernorm(x)
            shape = (y.shape[0], y.shape[1], heads, size)
            q, k, v = (f(y).view(shape).transpose(1, 2) for f in (attention.q_proj, attention.k_proj, attention.v_proj))
            k = torch.cat([past[2 * number], rotate(k)], 2)
            v = torch.cat([past[2 * number + 1], v], 2)
            presents += [k, v]
            scores = rotate(q) @ k.transpose(-1, -2) * size**-0.5
            weights = torch.where(allowed, scores, lowest).softmax(-1)
            x = x + attention.o_proj((weights @ v).transpose(1, 2).reshape(y.shape))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return (self.model.lm_head(language.norm(x)), *presents)


class Embedding(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        return self.model.model.language_model.embed_tokens(input_ids)


def write_embedding(model, folder):
    axes = {0: "batch", 1: "length"}
    write(
        Embedding(model), (torch.ones(2, 5, dtype=torch.long),), folder / "embed_tokens.onnx",
        ["input_ids"], ["inputs_embeds"], {"input_ids": axes, "inputs_embeds": axes},
    )


def write_decoder(model, folder, axes=1):
    """`axes`: 1 for position_ids [batch, length], 3 for [3, batch, length]."""
    config = model.model.language_model.config
    layers, heads = config.num_hidden_layers, config.num_key_value_heads
    size = config.hidden_size // config.num_attention_heads
    past = [f"past_key_values.{i}.{kind}" for i in range(layers) for kind in ("key", "value")]
    present = [f"present.{i}.{kind}" for i in range(layers) for kind in ("key", "value")]
    names = {
        "inputs_embeds": {0: "batch", 1: "length"}, "attention_mask": {0: "batch", 1: "total_length"},
        "position_ids": {0: "batch", 1: "length"} if axes == 1 else {1: "batch", 2: "length"},
        "logits": {0: "batch", 1: "length"},
    }
    names |= {name: {0: "batch", 2: "past_length"} for name in past}
    names |= {name: {0: "batch", 2: "total_length"} for name in present}
    positions = torch.arange(3, 8).repeat(2, 1)
    example = (
        torch.randn(2, 5, config.hidden_size), torch.ones(2, 8, dtype=torch.long),
        positions if axes == 1 else positions.repeat(axes, 1, 1), *[torch.randn(2, heads, 3, size) for _ in past],
    )
    write(
        Decoder(model), example, folder / "decoder_model_merged.onnx",
        ["inputs_embeds", "attention_mask", "position_ids", *past], ["logits", *present], names,
    )


def write(module, arguments, path, inputs, outputs, axes):
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), arguments, path, input_names=inputs, output_names=outputs, dynamic_axes=axes,
            opset_version=OPSET, dynamo=False, do_constant_folding=True,
        )
    graph = onnx.load(path)
    name_initializers(graph.graph, module.model.state_dict())
    graph.producer_name, graph.doc_string = "", ""
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)
    print(path.stem, " ".join(sorted({node.op_type for node in graph.graph.node})))


def name_initializers(graph, state):
    """Gives every weight the name of the checkpoint's tensor that it holds; a copy that the exporter folded keeps its own."""
    names = {i.name: i.name[6:] for i in graph.initializer if i.name.startswith("model.") and i.name[6:] in state}
    taken = set(names.values())
    for initializer in graph.initializer:
        if initializer.name in names:
            continue
        name = holder(numpy_helper.to_array(initializer), {n: t for n, t in state.items() if n not in taken})
        if name is not None:
            names[initializer.name] = name
            taken.add(name.removesuffix(".transposed"))
    for initializer in graph.initializer:
        initializer.name = names.get(initializer.name, initializer.name)
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)


def holder(value, state):
    for name, tensor in state.items():
        held = tensor.numpy()
        if value.ndim == 2 and held.shape[::-1] == value.shape and np.array_equal(held.T, value):
            return f"{name}.transposed"
        if value.shape == held.shape and value.size > 1 and np.array_equal(held, value):
            return name
    return None


def write_json(path, content, indent=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n")
