"""The parts of an embedded model through PyTorch's newer exporter (torch.export), attention as one operator."""

import torch

from vlm_export import Decoder, Embed

AUTO = torch.export.Dim.DYNAMIC


class LlavaVision(torch.nn.Module):
    """Tower and projector; the class itself splits its result into a list of images."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        inner = self.model.model
        hidden = inner.vision_tower(pixel_values, output_hidden_states=True).hidden_states
        return inner.multi_modal_projector(hidden[self.model.config.vision_feature_layer][:, 1:])


def vision(source):
    """-> module, example inputs, open axes, names of the inputs"""
    if source.name.startswith("qwen"):
        from families.qwen import VisionEncoder

        side = source.torch.config.vision_config.patch_size
        patches = torch.randn(60, 6 * side * side)
        return VisionEncoder(source.torch), (patches, torch.tensor([[1, 6, 10]])), ({0: AUTO}, None), ["pixel_values", "image_grid_thw"]
    if source.name.startswith("llava"):
        module = LlavaVision(source.torch)
    else:
        from vlm_internvl import Vision

        module = Vision(source.torch)
    return module, (torch.randn(2, 3, 64, 64),), ({0: AUTO},), ["pixel_values"]


def write(module, inputs, axes, names, outputs, path, opset):
    torch.onnx.export(
        module.eval(), inputs, str(path), input_names=names, output_names=outputs, dynamic_shapes=axes,
        opset_version=opset, dynamo=True, external_data=False, verbose=False,
    )


def export(source, folder, opset):
    source.torch.set_attn_implementation("sdpa")
    language = source.language
    config = language.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    past = [torch.randn(2, config.num_key_value_heads, 3, size) for _ in range(2 * config.num_hidden_layers)]
    names = [f"{i}.{part}" for i in range(config.num_hidden_layers) for part in ("key", "value")]
    positions = torch.arange(3, 8)[None].repeat(2, 1)
    rows = {0: AUTO, 1: AUTO}
    position_rows = rows
    if source.name.startswith("qwen"):
        positions, position_rows = positions[None].repeat(3, 1, 1), {1: AUTO, 2: AUTO}
    write(
        Decoder(language, source.torch.lm_head),
        (torch.randn(2, 5, config.hidden_size), torch.ones(2, 8, dtype=torch.long), positions, *past),
        (rows, rows, position_rows, tuple({0: AUTO, 2: AUTO} for _ in past)),
        ["inputs_embeds", "attention_mask", "position_ids", *(f"past_key_values.{name}" for name in names)],
        ["logits", *(f"present.{name}" for name in names)], folder / "decoder_model_merged.onnx", opset,
    )
    write(
        Embed(source.torch.get_input_embeddings()), (torch.zeros(2, 5, dtype=torch.long),), (rows,), ["input_ids"],
        ["inputs_embeds"], folder / "embed_tokens.onnx", opset,
    )
    module, inputs, axes, names = vision(source)
    write(module, inputs, axes, names, ["image_features"], folder / "vision_encoder.onnx", opset)
