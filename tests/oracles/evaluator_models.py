"""Decoders that do not allow what LLaVA's does, for the evaluator's fallbacks (tests/evaluator/fallbacks.test.ts).

Run: python tests/oracles/evaluator_models.py
Writes tests/fixtures/evaluator/<variant>.onnx; they take the embeddings of tests/golden/vlm-llava (width 32).
"""

import pathlib

import numpy as np
import onnx
import torch
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper
from transformers import LlamaConfig, LlamaForCausalLM

from vlm_export import Decoder, export, export_decoder, spread

folder = pathlib.Path(__file__).parent.parent / "fixtures" / "evaluator"
WIDTH, VOCABULARY = 32, 64


def llama(layers=1):
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).eval()
    spread(model, 4, 0.4)
    return model


class WithoutCache(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model, self.lm_head = model.model, model.lm_head

    def forward(self, inputs_embeds, attention_mask, position_ids):
        length = torch.arange(inputs_embeds.shape[1])
        seen = (length[None, :] <= length[:, None])[None, None] & (attention_mask[:, None, None, :] > 0)
        mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
        out = self.model(
            inputs_embeds=inputs_embeds, attention_mask=mask, position_ids=position_ids, use_cache=False
        )
        return self.lm_head(out.last_hidden_state)


def without_cache(model):
    axes = {0: "batch_size", 1: "sequence_length"}
    names = ["inputs_embeds", "attention_mask", "position_ids"]
    export(
        WithoutCache(model),
        (torch.randn(2, 5, WIDTH), torch.ones(2, 5, dtype=torch.long), torch.arange(5)[None].repeat(2, 1)),
        folder / "without_cache.onnx", names, ["logits"], {name: axes for name in names + ["logits"]},
    )


def bidirectional(model):
    """Every token attends to every other, as the prefix of PaliGemma does."""

    class Bidirectional(Decoder):
        def forward(self, inputs_embeds, attention_mask, position_ids, *past):
            from transformers.cache_utils import DynamicCache

            cache = DynamicCache()
            for i in range(self.layers):
                cache.update(past[2 * i], past[2 * i + 1], i)
            queries = inputs_embeds.shape[1]
            seen = (attention_mask[:, None, None, :] > 0).expand(-1, -1, queries, -1)
            mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
            out = self.model(
                inputs_embeds=inputs_embeds, attention_mask=mask, position_ids=position_ids,
                past_key_values=cache, use_cache=True,
            )
            result = [self.lm_head(out.last_hidden_state)]
            for layer in out.past_key_values.layers:
                result += [layer.keys, layer.values]
            return tuple(result)

    import vlm_export

    original, vlm_export.Decoder = vlm_export.Decoder, Bidirectional
    export_decoder(model.model, model.lm_head, folder / "bidirectional.onnx")
    vlm_export.Decoder = original


def grouped_query():
    """One layer of com.microsoft.GroupQueryAttention: ignores holes in the mask, refuses batches that continue a cache."""
    random = np.random.default_rng(6)
    heads, kv, size = 4, 2, 8

    def weight(name, *shape):
        return numpy_helper.from_array((random.standard_normal(shape) * 0.4).astype(np.float32), name)

    nodes = [
        # The angle tables of the operator would count positions themselves: rotate nothing, add a position embedding.
        h.make_node("Gather", ["places", "position_ids"], ["place"]),
        h.make_node("Add", ["inputs_embeds", "place"], ["x"]),
        h.make_node("MatMul", ["x", "wq"], ["q"]),
        h.make_node("MatMul", ["x", "wk"], ["k"]),
        h.make_node("MatMul", ["x", "wv"], ["v"]),
        h.make_node("ReduceSum", ["attention_mask", "axis1"], ["total64"], keepdims=0),
        h.make_node("Sub", ["total64", "one"], ["last64"]),
        h.make_node("Cast", ["last64"], ["last"], to=T.INT32),
        h.make_node("Shape", ["attention_mask"], ["mask_shape"]),
        h.make_node("Gather", ["mask_shape", "index1"], ["length64"]),
        h.make_node("Cast", ["length64"], ["length"], to=T.INT32),
        h.make_node(
            "GroupQueryAttention",
            ["q", "k", "v", "past_key_values.0.key", "past_key_values.0.value", "last", "length"],
            ["attended", "present.0.key", "present.0.value"],
            domain="com.microsoft", num_heads=heads, kv_num_heads=kv,
        ),
        h.make_node("MatMul", ["attended", "wo"], ["o"]),
        h.make_node("Add", ["x", "o"], ["hidden"]),
        h.make_node("MatMul", ["hidden", "head"], ["logits"]),
    ]
    value = h.make_tensor_value_info
    cache = ["batch_size", kv, "past_sequence_length", size]
    graph = h.make_graph(
        nodes,
        "grouped_query",
        [
            value("inputs_embeds", T.FLOAT, ["batch_size", "sequence_length", WIDTH]),
            value("attention_mask", T.INT64, ["batch_size", "total_sequence_length"]),
            value("position_ids", T.INT64, ["batch_size", "sequence_length"]),
            value("past_key_values.0.key", T.FLOAT, cache),
            value("past_key_values.0.value", T.FLOAT, cache),
        ],
        [
            value("logits", T.FLOAT, ["batch_size", "sequence_length", VOCABULARY]),
            value("present.0.key", T.FLOAT, ["batch_size", kv, "total_sequence_length", size]),
            value("present.0.value", T.FLOAT, ["batch_size", kv, "total_sequence_length", size]),
        ],
        [
            weight("places", 128, WIDTH), weight("wq", WIDTH, heads * size), weight("wk", WIDTH, kv * size),
            weight("wv", WIDTH, kv * size), weight("wo", heads * size, WIDTH), weight("head", WIDTH, VOCABULARY),
            numpy_helper.from_array(np.int64([1]), "axis1"), numpy_helper.from_array(np.int64(1), "one"),
            numpy_helper.from_array(np.int64(1), "index1"),
        ],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17), h.make_opsetid("com.microsoft", 1)])
    model.ir_version = 8
    onnx.save_model(model, folder / "grouped_query.onnx")


def join_caches():
    """What lib/vlm/decoder/cache-join.ts makes for four-dimensional float32 caches; for tests/native/coalition_test.cpp."""
    def value(name, kind, rank):
        return h.make_tensor_value_info(name, kind, [f"{name}_{axis}" for axis in range(rank)])

    graph = h.make_graph(
        [
            h.make_node("Gather", ["first", "first_rows"], ["a"], axis=0),
            h.make_node("Gather", ["second", "second_rows"], ["b"], axis=0),
            h.make_node("Concat", ["a", "b"], ["joined"], axis=0),
        ],
        "join caches",
        [value("first", T.FLOAT, 4), value("second", T.FLOAT, 4), value("first_rows", T.INT64, 1), value("second_rows", T.INT64, 1)],
        [value("joined", T.FLOAT, 4)],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save_model(model, folder / "join_caches.onnx")


if __name__ == "__main__":
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        torch.manual_seed(0)
        without_cache(llama())
        # With one layer, cached keys would not depend on attention yet.
        bidirectional(llama(layers=2))
        grouped_query()
        join_caches()
