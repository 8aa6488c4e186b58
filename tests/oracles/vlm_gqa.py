"""The tiny LLaVA's decoder with the fused operators of published quantised exports: GroupQueryAttention and RotaryEmbedding.

Run after vlm_llava.py. Writes tests/golden/vlm-variants/decoder_gqa.onnx: the same function as the plain decoder as long as
the attention mask has no holes, of which the operator sees only the sum.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vlm_llava import build, golden


def main():
    model, _ = build()
    language, config = model.model.language_model, model.model.language_model.config
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    width = config.hidden_size // heads
    nodes, weights = [], []

    def weight(name, value):
        weights.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def node(kind, inputs, output, domain="", **attributes):
        outputs = output if isinstance(output, list) else [output]
        nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def linear(x, layer, name):
        return node("MatMul", [x, weight(f"{name}.weight", layer.weight.detach().numpy().T)], name)

    def norm(x, layer, name):
        gain = weight(f"{name}.weight", layer.weight.detach().numpy())
        return node("SimplifiedLayerNormalization", [x, gain], name, epsilon=config.rms_norm_eps, axis=-1)

    angles = np.outer(np.arange(config.max_position_embeddings), language.rotary_emb.inv_freq.numpy())
    cos, sin = weight("cos", np.cos(angles)), weight("sin", np.sin(angles))
    weights.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    weights.append(numpy_helper.from_array(np.array(1, np.int64), "axis"))
    total = node("ReduceSum", ["attention_mask", "one"], "attended", keepdims=0)
    total = node("Sub", [total, "one"], "last")
    seqlens = node("Cast", [total], "seqlens", to=TensorProto.INT32)
    shape = node("Shape", ["attention_mask"], "mask_shape")
    length = node("Gather", [shape, "axis"], "length", axis=0)
    length = node("Cast", [length], "total_length", to=TensorProto.INT32)

    def rotate(x, count, name):
        inputs = [x, "position_ids", cos, sin]
        return node("RotaryEmbedding", inputs, name, "com.microsoft", num_heads=count, rotary_embedding_dim=width)

    x = "inputs_embeds"
    for i, layer in enumerate(language.layers):
        attention = layer.self_attn
        y = norm(x, layer.input_layernorm, f"{i}.norm1")
        q = rotate(linear(y, attention.q_proj, f"{i}.q"), heads, f"{i}.qr")
        k = rotate(linear(y, attention.k_proj, f"{i}.k"), groups, f"{i}.kr")
        v = linear(y, attention.v_proj, f"{i}.v")
        past = [f"past_key_values.{i}.{part}" for part in ("key", "value")]
        present = [f"present.{i}.{part}" for part in ("key", "value")]
        mixed = node(
            "GroupQueryAttention", [q, k, v, *past, seqlens, length], [f"{i}.mixed", *present], "com.microsoft",
            num_heads=heads, kv_num_heads=groups, scale=float(width**-0.5), do_rotary=0,
        )
        x = node("Add", [x, linear(mixed, attention.o_proj, f"{i}.o")], f"{i}.a")
        y = norm(x, layer.post_attention_layernorm, f"{i}.norm2")
        gate = linear(y, layer.mlp.gate_proj, f"{i}.gate")
        active = node("Mul", [gate, node("Sigmoid", [gate], f"{i}.sigmoid")], f"{i}.silu")
        up = node("Mul", [active, linear(y, layer.mlp.up_proj, f"{i}.up")], f"{i}.product")
        x = node("Add", [x, linear(up, layer.mlp.down_proj, f"{i}.down")], f"{i}.b")
    x = norm(x, language.norm, "norm")
    node("MatMul", [x, weight("head", model.lm_head.weight.detach().numpy().T)], "logits")

    def value(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    caches = [f"{i}.{part}" for i in range(config.num_hidden_layers) for part in ("key", "value")]
    inputs = [
        value("inputs_embeds", TensorProto.FLOAT, ["batch", "sequence", config.hidden_size]),
        value("attention_mask", TensorProto.INT64, ["batch", "total"]),
        value("position_ids", TensorProto.INT64, ["batch", "sequence"]),
        *[value(f"past_key_values.{c}", TensorProto.FLOAT, ["batch", groups, "past", width]) for c in caches],
    ]
    outputs = [
        value("logits", TensorProto.FLOAT, ["batch", "sequence", config.vocab_size]),
        *[value(f"present.{c}", TensorProto.FLOAT, ["batch", groups, "total", width]) for c in caches],
    ]
    graph = helper.make_graph(nodes, "decoder", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(
        helper.make_model(graph, opset_imports=opsets, ir_version=9), golden / "vlm-variants" / "decoder_gqa.onnx"
    )


if __name__ == "__main__":
    main()
