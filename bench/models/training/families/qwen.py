"""qwen2_5_vl-tiny: `Qwen2_5_VLForConditionalGeneration` with window attention, merged patches and M-RoPE."""

import torch
from torch import nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

from families.chatml import END, PAD, build_tokenizer, write_text_configs
from graphs import IMAGE_PROCESSOR, write, write_decoder, write_embedding, write_json
from stream import CELL, GRID, IMAGE_SIZE

SPECIALS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
MERGE = 2
PATCH = CELL // MERGE
# Four cells wide, in pixels.
WINDOW = 4 * CELL


class Qwen:
    name = "qwen2_5_vl-tiny"
    image_token = "<|image_pad|>"
    head = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>"
    tail, answer = "<|im_end|>\n<|im_start|>assistant\n", ""
    pad, end = PAD, END
    # The tower knows only differences of positions; where a cell is comes from M-RoPE in the decoder's first layer.
    places, width = False, 128

    def build_tokenizer(self, words):
        return build_tokenizer(words, SPECIALS)

    def build(self, tokenizer):
        of = tokenizer.token_to_id
        config = Qwen2_5_VLConfig(
            vision_config=dict(
                depth=2, hidden_size=128, intermediate_size=256, num_heads=4, out_hidden_size=128, patch_size=PATCH,
                spatial_merge_size=MERGE, temporal_patch_size=2, window_size=WINDOW, fullatt_block_indexes=[1],
            ),
            text_config=dict(
                vocab_size=tokenizer.get_vocab_size(), hidden_size=128, intermediate_size=256, num_hidden_layers=5,
                num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512, initializer_range=0.08,
                # An image is only eight positions wide: rotations must be fast enough to tell its rows and columns, and
                # slow enough elsewhere to match content over all of it.
                rope_parameters=dict(rope_type="default", mrope_section=[2, 4, 10], rope_theta=3000.0),
                pad_token_id=of(PAD), eos_token_id=of(END), bos_token_id=None, tie_word_embeddings=False,
            ),
            image_token_id=of("<|image_pad|>"), video_token_id=of("<|video_pad|>"),
            vision_start_token_id=of("<|vision_start|>"), vision_end_token_id=of("<|vision_end|>"),
            tie_word_embeddings=False,
        )
        return Qwen2_5_VLForConditionalGeneration(config)

    def vision(self, model):
        return [model.model.visual]

    def features(self, model, pixel_values):
        return run_tower(model.model.visual, patches_of(pixel_values), 2 * GRID, 2 * GRID)

    def feeds(self, pixel_values):
        grid = torch.tensor([[1, 2 * GRID, 2 * GRID]]).numpy()
        return [{"pixel_values": patches.numpy(), "image_grid_thw": grid} for patches in patches_of(pixel_values)]

    def positions(self, head, length):
        """[time, height, width]: the image is a square, the text goes on after its far corner."""
        image = head.index(-1)
        cells = torch.arange(GRID * GRID)
        rest = torch.arange(len(head) - image - len(cells) + length) + image + GRID
        axes = (torch.zeros_like(cells), cells // GRID, cells % GRID)
        return torch.stack([torch.cat([torch.arange(image), image + axis, rest]) for axis in axes])

    def export(self, model, folder, tokenizer):
        onnx = folder / "onnx"
        grid = torch.tensor([[1, 6, 10]])
        write(
            VisionEncoder(model), (torch.randn(60, 6 * PATCH * PATCH), grid), onnx / "vision_encoder.onnx",
            ["pixel_values", "image_grid_thw"], ["image_features"],
            {"pixel_values": {0: "patches"}, "image_grid_thw": {0: "images"}, "image_features": {0: "features"}},
        )
        write_embedding(model, onnx)
        write_decoder(model, onnx, axes=3)
        config = model.config.to_dict()
        config["architectures"] = ["Qwen2_5_VLForConditionalGeneration"]
        write_json(folder / "config.json", config)
        write_json(folder / "preprocessor_config.json", {
            "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor",
            "patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": 2,
            "min_pixels": IMAGE_SIZE**2, "max_pixels": IMAGE_SIZE**2, **IMAGE_PROCESSOR,
        })
        write_text_configs(folder, tokenizer, "<|vision_start|><|image_pad|><|vision_end|>", SPECIALS)


def patches_of(pixel_values):
    """[n, 3, 64, 64] -> [n, patches, 3 * 2 * patch * patch]: the patches of one cell next to each other, both frames alike."""
    n = pixel_values.shape[0]
    x = pixel_values.reshape(n, 3, GRID, MERGE, PATCH, GRID, MERGE, PATCH).permute(0, 2, 5, 3, 6, 1, 4, 7)
    x = x.reshape(n, GRID * GRID * MERGE * MERGE, 3, 1, PATCH, PATCH)
    return x.expand(-1, -1, -1, 2, -1, -1).reshape(n, x.shape[1], -1)


def run_tower(tower, patches, rows, columns):
    """The tower on n images of one size: [n, rows * columns, ...] -> [n, cells, width].

    Window order and attention masks are tensor operations, so that a traced graph takes any grid; same numbers as the
    Hugging Face forward pass, whose Python loops a trace would freeze.
    """
    n, count = patches.shape[:2]
    across = columns // MERGE
    cells = torch.arange(count // (MERGE * MERGE))
    row, column = cells // across, cells % across
    side = WINDOW // MERGE // PATCH
    windows = (row // side) * ((across + side - 1) // side) + column // side
    order = torch.argsort(windows * cells.shape[0] + cells)
    inner = torch.arange(MERGE * MERGE)
    down = (row[order][:, None] * MERGE + inner // MERGE).reshape(-1)
    right = (column[order][:, None] * MERGE + inner % MERGE).reshape(-1)
    x = tower.patch_embed(patches.reshape(n * count, -1))
    x = x.reshape(n, -1, MERGE * MERGE, x.shape[-1])[:, order].reshape(n, count, -1)
    width = tower.blocks[0].attn.head_dim
    frequencies = 1.0 / (10000.0 ** (torch.arange(0, width // 2, 2).float() / (width // 2)))
    angles = torch.cat([down[:, None] * frequencies, right[:, None] * frequencies], -1)
    angles = torch.cat([angles, angles], -1)
    ids = windows[order][:, None].repeat(1, MERGE * MERGE).reshape(-1)
    inside = torch.where(ids[:, None] == ids[None, :], 0.0, torch.finfo(torch.float32).min)
    for index, block in enumerate(tower.blocks):
        mask = None if index in tower.fullatt_block_indexes else inside
        x = x + attend(block.attn, block.norm1(x), angles.cos(), angles.sin(), mask)
        x = x + block.mlp(block.norm2(x))
    merged = tower.merger(x.reshape(n * count, -1))
    return merged.reshape(n, -1, merged.shape[-1])[:, torch.argsort(order)]


def attend(layer, x, cos, sin, mask):
    n, length, width = x.shape
    q, k, v = layer.qkv(x).reshape(n, length, 3, layer.num_heads, -1).permute(2, 0, 1, 3, 4).unbind(0)
    q, k = (rotated.transpose(1, 2) for rotated in apply_rotary_pos_emb_vision(q, k, cos, sin))
    scores = q @ k.transpose(-1, -2) * layer.scaling
    if mask is not None:
        scores = scores + mask
    mixed = scores.softmax(-1) @ v.transpose(1, 2)
    return layer.proj(mixed.transpose(1, 2).reshape(n, length, width))


class VisionEncoder(nn.Module):
    """pixel_values [patches, 96], image_grid_thw [1, 3] -> image_features [cells, width]."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values, image_grid_thw):
        grid = image_grid_thw[0]
        return run_tower(self.model.model.visual, pixel_values[None], grid[1], grid[2])[0]
