"""Variants of the tiny LLaVA's graphs that real exports have: half precision, and decoders that misread mask holes.

Run after vlm_llava.py. Writes tests/golden/vlm-variants/*.onnx, to be put in place of the original's graphs.
"""

import torch

from vlm_export import Decoder, export, export_decoder, export_embed
from vlm_llava import Vision, build, golden

folder = golden / "vlm-variants"


class MaskReader(Decoder):
    """A decoder that takes only the number of attended tokens from the mask, or counts positions from it."""

    def __init__(self, language_model, lm_head, how):
        super().__init__(language_model, lm_head)
        self.how = how

    def forward(self, inputs_embeds, attention_mask, *past):
        total = attention_mask.shape[1]
        queries = inputs_embeds.shape[1]
        if self.how == "length":
            # As GroupQueryAttention does: the first sum(mask) keys are seen, wherever the zeros are.
            seen = torch.arange(total)[None, :] < attention_mask.sum(1, keepdim=True)
            positions = torch.arange(total - queries, total)[None]
            return super().forward(inputs_embeds, seen.long(), positions, *past)
        positions = (attention_mask.cumsum(1) - 1).clamp(min=0)[:, total - queries :]
        return super().forward(inputs_embeds, attention_mask, positions, *past)


def export_reader(model, how, path):
    config = model.model.language_model.config
    past = [torch.randn(2, 2, 3, 8) for _ in range(2 * config.num_hidden_layers)]
    names = [f"{i}.{k}" for i in range(config.num_hidden_layers) for k in ("key", "value")]
    axes = {
        "inputs_embeds": {0: "batch_size", 1: "sequence_length"},
        "attention_mask": {0: "batch_size", 1: "total_sequence_length"},
        "logits": {0: "batch_size", 1: "sequence_length"},
    }
    for name in names:
        axes[f"past_key_values.{name}"] = {0: "batch_size", 2: "past_sequence_length"}
        axes[f"present.{name}"] = {0: "batch_size", 2: "total_sequence_length"}
    export(
        MaskReader(model.model.language_model, model.lm_head, how),
        (torch.randn(2, 5, 32), torch.ones(2, 8, dtype=torch.long), *past), path,
        ["inputs_embeds", "attention_mask"] + [f"past_key_values.{n}" for n in names],
        ["logits"] + [f"present.{n}" for n in names], axes,
    )


def main():
    folder.mkdir(exist_ok=True)
    model, _ = build()
    export_reader(model, "length", folder / "decoder_ignores_holes.onnx")
    export_reader(model, "count", folder / "decoder_counts_positions.onnx")
    half = model.half()
    export(
        Vision(half), (torch.randn(2, 3, 28, 28).half(),), folder / "vision_encoder_fp16.onnx", ["pixel_values"],
        ["image_features"], {"pixel_values": {0: "batch_size"}, "image_features": {0: "batch_size"}},
    )
    export_embed(half, folder / "embed_tokens_fp16.onnx")
    export_decoder(
        half.model.language_model, half.lm_head, folder / "decoder_model_merged_fp16.onnx", dtype=torch.float16
    )


if __name__ == "__main__":
    main()
