"""Decoders written node by node in the operators that published exports use, from the Hugging Face language model.

`gqa`: com.microsoft::GroupQueryAttention, as onnxruntime-genai's builder and onnx-community write it.
`onnx`: Attention, RMSNormalization and RotaryEmbedding of ONNX's own operator set 23.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Style:
    """How a decoder is written.

    rotation: "outside" (an operator of its own), "inside" the attention, "positions": inside, with position_ids;
      M-RoPE cannot be inside, and outside it is products of cosines and sines.
    packed: query, key and value as one product.
    skip: residual sum and norm as one operator.
    standard: ONNX's own operators instead of the runtime's.
    """

    rotation: str = "outside"
    packed: bool = False
    skip: bool = False
    standard: bool = False


class Writer:
    def __init__(self, language, head, style):
        self.config, self.language, self.head, self.style = language.config, language, head, style
        config = self.config
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.width = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.sections = (config.rope_parameters or {}).get("mrope_section")
        if self.sections and style.rotation != "outside":
            raise ValueError("GroupQueryAttention takes one position per token, M-RoPE has three")
        self.nodes, self.weights = [], {}

    def weight(self, name, value, dtype=np.float32):
        self.weights[name] = numpy_helper.from_array(np.array(value, dtype, order="C"), name)
        return name

    def ints(self, *values):
        return self.weight("ints_" + "_".join(map(str, values)), values, np.int64)

    def node(self, kind, inputs, outputs, domain="", **attributes):
        outputs = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, name=f"/{outputs[0]}/{kind}", **attributes))
        return outputs[0]

    def linear(self, x, layers, name):
        matrix = np.concatenate([layer.weight.detach().numpy() for layer in layers], 0)
        y = self.node("MatMul", [x, self.weight(f"{name}.weight", matrix.T)], f"{name}.product")
        if layers[0].bias is None:
            return y
        bias = np.concatenate([layer.bias.detach().numpy() for layer in layers], 0)
        return self.node("Add", [y, self.weight(f"{name}.bias", bias)], f"{name}.sum")

    def norm(self, x, layer, name):
        inputs = [x, self.weight(f"{name}.weight", layer.weight.detach().numpy())]
        epsilon = layer.variance_epsilon
        if self.style.standard:
            return self.node("RMSNormalization", inputs, name, epsilon=epsilon, axis=-1)
        return self.node("SimplifiedLayerNormalization", inputs, name, epsilon=epsilon, axis=-1, stash_type=1)

    def residual(self, x, added, layer, name):
        """-> the sum, and the norm of it"""
        if added is None:
            return x, self.norm(x, layer, name)
        if self.style.skip:
            gain = self.weight(f"{name}.weight", layer.weight.detach().numpy())
            y = self.node(
                "SkipSimplifiedLayerNormalization", [x, added, gain], [name, "", "", f"{name}.residual"], MICROSOFT,
                epsilon=layer.variance_epsilon,
            )
            return f"{name}.residual", y
        total = self.node("Add", [x, added], f"{name}.residual")
        return total, self.norm(total, layer, name)

    def tables(self):
        """Cosines and sines: by position, or for M-RoPE of every token, computed in the graph."""
        frequencies = self.language.rotary_emb.inv_freq.numpy()
        if not self.sections:
            angles = np.outer(np.arange(self.config.max_position_embeddings), frequencies)
            return self.weight("cos_cache", np.cos(angles)), self.weight("sin_cache", np.sin(angles))
        places = self.node("Cast", ["position_ids"], "places", to=TensorProto.FLOAT)
        places = self.node("Unsqueeze", [places, self.ints(3)], "places.column")
        angles = self.node("Mul", [places, self.weight("frequencies", frequencies)], "angles")
        parts = [f"angles.{axis}" for axis in range(3)]
        self.node("Split", [angles, self.ints(*self.sections)], parts, axis=3)
        picked = [
            self.node("Gather", [part, self.weight(f"axis{i}", i, np.int64)], f"{part}.picked", axis=0)
            for i, part in enumerate(parts)
        ]
        angles = self.node("Unsqueeze", [self.node("Concat", picked, "angles.half", axis=2), self.ints(2)], "angles.all")
        return self.node("Cos", [angles], "cos"), self.node("Sin", [angles], "sin")

    def rotate(self, x, count, cos, sin, name):
        if self.sections:
            return self.rotate_by_products(x, count, cos, sin, name)
        if self.style.standard:
            inputs = [x, cos, sin, "position_ids"]
            return self.node("RotaryEmbedding", inputs, name, num_heads=count)
        inputs = [x, "position_ids", cos, sin]
        return self.node("RotaryEmbedding", inputs, name, MICROSOFT, num_heads=count, rotary_embedding_dim=0, interleaved=0)

    def rotate_by_products(self, x, count, cos, sin, name):
        split = self.node("Reshape", [x, self.ints(0, 0, count, self.width)], f"{name}.split")
        half = self.width // 2
        a = self.node("Slice", [split, self.ints(0), self.ints(half), self.ints(3)], f"{name}.a")
        b = self.node("Slice", [split, self.ints(half), self.ints(2**31), self.ints(3)], f"{name}.b")
        first = self.node("Sub", [self.node("Mul", [a, cos], f"{name}.ac"), self.node("Mul", [b, sin], f"{name}.bs")], f"{name}.first")
        second = self.node("Add", [self.node("Mul", [b, cos], f"{name}.bc"), self.node("Mul", [a, sin], f"{name}.as")], f"{name}.second")
        turned = self.node("Concat", [first, second], f"{name}.turned", axis=3)
        return self.node("Reshape", [turned, self.ints(0, 0, count * self.width)], name)

    def attend(self, i, y, layer, cos, sin):
        past = [f"past_key_values.{i}.{part}" for part in ("key", "value")]
        present = [f"present.{i}.{part}" for part in ("key", "value")]
        if self.style.packed:
            q, k, v = self.linear(y, [layer.q_proj, layer.k_proj, layer.v_proj], f"{i}.qkv"), "", ""
        else:
            q, k, v = (self.linear(y, [getattr(layer, f"{p}_proj")], f"{i}.{p}") for p in "qkv")
        if self.style.rotation == "outside":
            q = self.rotate(q, self.heads, cos, sin, f"{i}.q.turned")
            k = self.rotate(k, self.groups, cos, sin, f"{i}.k.turned")
        if self.style.standard:
            return self.node(
                "Attention", [q, k, v, "visible", *past], [f"{i}.mixed", *present],
                q_num_heads=self.heads, kv_num_heads=self.groups, scale=float(self.width**-0.5),
            )
        inputs = [q, k, v, *past, "seqlens_k", "total_seq_len"]
        if self.style.rotation != "outside":
            inputs += [cos, sin]
        if self.style.rotation == "positions":
            inputs.append("position_ids")
        return self.node(
            "GroupQueryAttention", inputs, [f"{i}.mixed", *present], MICROSOFT, num_heads=self.heads,
            kv_num_heads=self.groups, scale=float(self.width**-0.5), do_rotary=int(self.style.rotation != "outside"),
            rotary_interleaved=0, local_window_size=-1, softcap=0.0,
        )

    def lengths(self):
        """What GroupQueryAttention knows of the mask: how many tokens are attended, and the padded length."""
        attended = self.node("ReduceSum", ["attention_mask", self.ints(1)], "attended", keepdims=1)
        self.node("Cast", [self.node("Sub", [attended, self.ints(1)], "last")], "seqlens_k", to=TensorProto.INT32)
        length = self.node("Gather", [self.node("Shape", ["attention_mask"], "mask_shape"), self.weight("one", 1, np.int64)], "length")
        self.node("Cast", [length], "total_seq_len", to=TensorProto.INT32)

    def visibility(self):
        """[batch, 1, queries, keys]: attended keys that are not behind the query."""
        extent = lambda x, axis: self.node("Gather", [f"{x}.shape", self.weight(f"axis{axis}", axis, np.int64)], f"{x}.extent{axis}")
        self.node("Shape", ["attention_mask"], "attention_mask.shape")
        self.node("Shape", ["inputs_embeds"], "inputs_embeds.shape")
        zero, one = (self.weight(f"axis{i}", i, np.int64) for i in (0, 1))
        keys, queries = extent("attention_mask", 1), extent("inputs_embeds", 1)
        key = self.node("Range", [zero, keys, one], "keys")
        first = self.node("Sub", [keys, queries], "first")
        query = self.node("Unsqueeze", [self.node("Range", [first, keys, one], "queries"), self.ints(1)], "queries.column")
        before = self.node("LessOrEqual", [key, query], "before")
        mask = self.node("Cast", ["attention_mask"], "mask", to=TensorProto.BOOL)
        mask = self.node("Unsqueeze", [mask, self.ints(1, 2)], "mask.row")
        self.node("And", [before, mask], "visible")

    def model(self):
        cos, sin = self.tables()
        self.visibility() if self.style.standard else self.lengths()
        x, added = "inputs_embeds", None
        for i, layer in enumerate(self.language.layers):
            x, y = self.residual(x, added, layer.input_layernorm, f"{i}.norm1")
            added = self.linear(self.attend(i, y, layer.self_attn, cos, sin), [layer.self_attn.o_proj], f"{i}.o")
            x, y = self.residual(x, added, layer.post_attention_layernorm, f"{i}.norm2")
            gate = self.linear(y, [layer.mlp.gate_proj], f"{i}.gate")
            gate = self.node("Mul", [gate, self.node("Sigmoid", [gate], f"{i}.sigmoid")], f"{i}.silu")
            up = self.node("Mul", [gate, self.linear(y, [layer.mlp.up_proj], f"{i}.up")], f"{i}.inner")
            added = self.linear(up, [layer.mlp.down_proj], f"{i}.down")
        _, y = self.residual(x, added, self.language.norm, "norm")
        self.node("MatMul", [y, self.weight("lm_head.weight", self.head.weight.detach().numpy().T)], "logits")
        graph = helper.make_graph(self.nodes, "main_graph", self.inputs(), self.outputs(), list(self.weights.values()))
        opset = 23 if self.style.standard else 21
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="fsyn layouts")

    def caches(self, prefix, length):
        shape = ["batch_size", self.groups, length, self.width]
        names = [f"{prefix}.{i}.{part}" for i in range(self.config.num_hidden_layers) for part in ("key", "value")]
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]

    def inputs(self):
        value = helper.make_tensor_value_info
        inputs = [
            value("inputs_embeds", TensorProto.FLOAT, ["batch_size", "sequence_length", self.config.hidden_size]),
            value("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"]),
        ]
        if self.style.rotation != "inside":
            axes = [3] if self.sections else []
            inputs.append(value("position_ids", TensorProto.INT64, [*axes, "batch_size", "sequence_length"]))
        return inputs + self.caches("past_key_values", "past_sequence_length")

    def outputs(self):
        shape = ["batch_size", "sequence_length", self.config.vocab_size]
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)
        return [logits, *self.caches("present", "total_sequence_length")]


def write_decoder(language, head, path, style):
    model = Writer(language, head, style).model()
    onnx.checker.check_model(model) if style.standard else None
    onnx.save(model, path)
