"""Tiny Hugging Face LLaVA: ONNX exports of its three graphs, and PyTorch autograd on the whole class.

Writes tests/golden/onnx/llava/{vision,embed,decoder}_{op14,op17,dynamo}.onnx and golden.json.
The exports are made at another batch size and length than the golden values.
Usage: python tests/oracles/onnx_tiny_llava.py   (torch 2.13, transformers 5.18)
"""
import base64, json, os, warnings
import numpy as np, onnx, torch
import torch.nn.functional as F
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
from transformers.cache_utils import DynamicCache

warnings.filterwarnings("ignore")
OUT = os.path.join(os.path.dirname(__file__), "..", "golden", "onnx", "llava")
os.makedirs(OUT, exist_ok=True)
IMAGE, VOCAB, HIDDEN, LAYERS, KV, HEAD_DIM = 5, 40, 16, 2, 2, 4


def build():
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
                                       image_size=24, patch_size=8, hidden_act="quick_gelu"),
        text_config=LlamaConfig(hidden_size=HIDDEN, intermediate_size=24, num_hidden_layers=LAYERS, num_attention_heads=4,
                                num_key_value_heads=KV, vocab_size=VOCAB, max_position_embeddings=128, pad_token_id=0),
        image_token_index=IMAGE, vision_feature_layer=-2, vision_feature_select_strategy="default",
        attn_implementation="eager")
    model = LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():  # larger than the initialisation, so that attention is far from uniform
        for name, p in model.named_parameters():
            p.mul_(6.0 if p.dim() > 1 else 1.0)
            if p.dim() == 1:
                p.add_(0.1 * torch.randn_like(p))
    return model


class Vision(torch.nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, pixel_values):
        states = self.m.model.vision_tower(pixel_values, output_hidden_states=True).hidden_states
        return self.m.model.multi_modal_projector(states[-2][:, 1:])


class Embed(torch.nn.Module):
    def __init__(self, m):
        super().__init__()
        self.e = m.get_input_embeddings()

    def forward(self, input_ids):
        return self.e(input_ids)


class Decoder(torch.nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m, self.head = m.model.language_model, m.lm_head

    def forward(self, inputs_embeds, attention_mask, position_ids, *past):
        cache = DynamicCache()
        for i in range(LAYERS):
            cache.update(past[2 * i], past[2 * i + 1], i)
        length, before = inputs_embeds.shape[1], past[0].shape[2]
        keys, queries = torch.arange(before + length), torch.arange(before, before + length)
        visible = (keys[None, :] <= queries[:, None])[None, None] & (attention_mask[:, None, None, :] > 0)
        mask = torch.where(visible, 0.0, torch.finfo(torch.float32).min)
        out = self.m(inputs_embeds=inputs_embeds, attention_mask=mask, position_ids=position_ids, past_key_values=cache,
                     use_cache=True)
        present = [t for layer in out.past_key_values.layers for t in (layer.keys, layer.values)]
        return (self.head(out.last_hidden_state), *present)


def export(module, args, name, inputs, outputs, axes, opset, dynamo):
    path = os.path.join(OUT, name + ".onnx")
    if dynamo:
        shapes = [{d: torch.export.Dim.DYNAMIC for d in axes.get(n, {})} for n in inputs]
        if module.__class__ is Decoder:
            shapes = [*shapes[:3], tuple(shapes[3:])]
        torch.onnx.export(module, args, path, input_names=inputs, output_names=outputs, opset_version=opset, dynamo=True,
                          dynamic_shapes=shapes, external_data=False, verbose=False)
    else:
        torch.onnx.export(module, args, path, input_names=inputs, output_names=outputs, opset_version=opset, dynamo=False,
                          dynamic_axes=axes, do_constant_folding=True)
    strip(path)


def strip(path):
    """Drops stack traces and other notes of the exporter: they name files of the exporting machine."""
    model = onnx.load(path)
    for item in [model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info,
                 *model.graph.initializer]:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    onnx.save(model, path)


def export_all(m):
    past_names = [f"past_key_values.{i}.{k}" for i in range(LAYERS) for k in ("key", "value")]
    present = [n.replace("past_key_values", "present") for n in past_names]
    axes = {"inputs_embeds": {0: "batch_size", 1: "sequence_length"},
            "attention_mask": {0: "batch_size", 1: "total_sequence_length"},
            "position_ids": {0: "batch_size", 1: "sequence_length"}, "logits": {0: "batch_size", 1: "sequence_length"}}
    axes |= {n: {0: "batch_size", 2: "past_sequence_length"} for n in past_names}
    axes |= {n: {0: "batch_size", 2: "total_sequence_length"} for n in present}
    B, S, P = 2, 7, 3
    decoder_args = (torch.randn(B, S, HIDDEN), torch.ones(B, P + S, dtype=torch.long),
                    torch.arange(P, P + S)[None].repeat(B, 1), *[torch.randn(B, KV, P, HEAD_DIM) for _ in past_names])
    for tag, opset, dynamo in (("op14", 14, False), ("op17", 17, False), ("dynamo", 18, True)):
        export(Vision(m).eval(), (torch.randn(2, 3, 24, 24),), f"vision_{tag}", ["pixel_values"], ["image_features"],
               {"pixel_values": {0: "batch_size"}, "image_features": {0: "batch_size"}}, opset, dynamo)
        export(Embed(m).eval(), (torch.randint(0, VOCAB, (2, 5)),), f"embed_{tag}", ["input_ids"], ["inputs_embeds"],
               {"input_ids": {0: "batch_size", 1: "sequence_length"},
                "inputs_embeds": {0: "batch_size", 1: "sequence_length"}}, opset, dynamo)
        export(Decoder(m).eval(), decoder_args, f"decoder_{tag}", ["inputs_embeds", "attention_mask", "position_ids", *past_names],
               ["logits", *present], axes, opset, dynamo)


def encode(t):
    a = t.detach().numpy()
    a = a.astype("<i8") if a.dtype.kind in "ib" else a.astype("<f4")
    return {"dtype": str(a.dtype), "dims": list(a.shape), "data": base64.b64encode(a.tobytes()).decode()}


def golden(m):
    """Gradient of the sum over the batch of one logit (last row, token 7 + 3b) of the full class."""
    g = torch.Generator().manual_seed(1)
    B, features = 3, 9
    ids = torch.randint(6, VOCAB, (B, 6), generator=g)
    image = torch.full((B, features), IMAGE)
    ids = torch.cat([ids[:, :2], image, ids[:, 2:]], 1)
    mask = torch.ones_like(ids)
    mask[1, 12] = 0  # a hole in the text, as when a text player is absent
    pixels = torch.randn(B, 3, 24, 24, generator=g).requires_grad_(True)
    kept = {}

    def keep(name, tensor):
        tensor.retain_grad()
        kept[name] = tensor

    handles = []
    for i, layer in enumerate(m.model.vision_tower.encoder.layers if hasattr(m.model.vision_tower, "encoder")
                              else m.model.vision_tower.vision_model.encoder.layers):
        handles.append(layer.self_attn.register_forward_hook(lambda mod, a, o, i=i: keep(f"vision_attention.{i}", o[1])))
    handles.append(m.model.multi_modal_projector.register_forward_hook(lambda mod, a, o: keep("image_features", o)))
    for i, layer in enumerate(m.model.language_model.layers):
        handles.append(layer.self_attn.register_forward_hook(lambda mod, a, o, i=i: keep(f"attention.{i}", o[1])))
        handles.append(layer.register_forward_hook(lambda mod, a, o, i=i: keep(f"hidden.{i}", o[0] if isinstance(o, tuple) else o)))
    handles.append(m.model.language_model.register_forward_pre_hook(
        lambda mod, a, k: keep("inputs_embeds", k["inputs_embeds"]), with_kwargs=True))
    logits = m(input_ids=ids, pixel_values=pixels, attention_mask=mask,
               position_ids=torch.arange(ids.shape[1])[None].repeat(B, 1)).logits
    targets = torch.tensor([7 + 3 * b for b in range(B)])
    sum(logits[b, -1, targets[b]] for b in range(B)).backward()
    for h in handles:
        h.remove()
    out = {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels, "logits": logits, "targets": targets,
           "grad/pixel_values": pixels.grad}
    for name, t in kept.items():
        out[name] = t
        if t.grad is not None:
            out["grad/" + name] = t.grad
    print({k: tuple(v.shape) for k, v in out.items()})
    with open(os.path.join(OUT, "golden.json"), "w") as f:
        json.dump({k: encode(v) for k, v in out.items()}, f)


if __name__ == "__main__":
    model = build()
    golden(model)
    export_all(model)
    print({f: os.path.getsize(os.path.join(OUT, f)) for f in sorted(os.listdir(OUT))})
