"""Exports the parts of a Hugging Face VLM to the directory layout of the transformers.js ecosystem."""

import pathlib

import torch
from transformers.cache_utils import DynamicCache


class Embed(torch.nn.Module):
    def __init__(self, embedding):
        super().__init__()
        self.embedding = embedding

    def forward(self, input_ids):
        return self.embedding(input_ids)


class Decoder(torch.nn.Module):
    """Language model on embeddings, with an explicit causal mask so that holes of the attention mask are respected."""

    def __init__(self, language_model, lm_head):
        super().__init__()
        self.model = language_model
        self.lm_head = lm_head
        self.layers = language_model.config.num_hidden_layers

    def forward(self, inputs_embeds, attention_mask, position_ids, *past):
        cache = DynamicCache()
        for i in range(self.layers):
            cache.update(past[2 * i], past[2 * i + 1], i)
        queries = inputs_embeds.shape[1]
        before = past[0].shape[2]
        keys = torch.arange(before + queries)
        rows = torch.arange(before, before + queries)
        seen = (keys[None, :] <= rows[:, None])[None, None] & (attention_mask[:, None, None, :] > 0)
        mask = torch.where(seen, 0.0, torch.finfo(inputs_embeds.dtype).min).to(inputs_embeds.dtype)
        out = self.model(
            inputs_embeds=inputs_embeds,
            attention_mask=mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        result = [self.lm_head(out.last_hidden_state)]
        for layer in out.past_key_values.layers:
            result += [layer.keys, layer.values]
        return tuple(result)


def export(module, args, path, inputs, outputs, axes):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        module.eval(),
        args,
        str(path),
        input_names=inputs,
        output_names=outputs,
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )


def export_embed(model, path):
    axes = {0: "batch_size", 1: "sequence_length"}
    export(
        Embed(model.get_input_embeddings()),
        (torch.zeros(2, 5, dtype=torch.long),),
        path,
        ["input_ids"],
        ["inputs_embeds"],
        {"input_ids": axes, "inputs_embeds": axes},
    )


def export_decoder(language_model, lm_head, path, three_axes=False, dtype=torch.float32):
    """`three_axes`: position_ids of shape [3, batch, sequence], as Qwen's M-RoPE has them."""
    config = language_model.config
    heads = config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    batch, queries, before = 2, 5, 3
    past = [torch.randn(batch, heads, before, width, dtype=dtype) for _ in range(2 * config.num_hidden_layers)]
    names = [f"{i}.{k}" for i in range(config.num_hidden_layers) for k in ("key", "value")]
    positions = torch.arange(before, before + queries)[None].repeat(batch, 1)
    position_axes = {0: "batch_size", 1: "sequence_length"}
    if three_axes:
        positions = positions[None].repeat(3, 1, 1)
        position_axes = {1: "batch_size", 2: "sequence_length"}
    axes = {
        "inputs_embeds": {0: "batch_size", 1: "sequence_length"},
        "attention_mask": {0: "batch_size", 1: "total_sequence_length"},
        "position_ids": position_axes,
        "logits": {0: "batch_size", 1: "sequence_length"},
    }
    for name in names:
        axes[f"past_key_values.{name}"] = {0: "batch_size", 2: "past_sequence_length"}
        axes[f"present.{name}"] = {0: "batch_size", 2: "total_sequence_length"}
    export(
        Decoder(language_model, lm_head),
        (
            torch.randn(batch, queries, config.hidden_size, dtype=dtype),
            torch.ones(batch, before + queries, dtype=torch.long),
            positions,
            *past,
        ),
        path,
        ["inputs_embeds", "attention_mask", "position_ids"] + [f"past_key_values.{n}" for n in names],
        ["logits"] + [f"present.{n}" for n in names],
        axes,
    )


def spread(model, seed, scale):
    """Random weights large enough that different inputs give clearly different logits."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
