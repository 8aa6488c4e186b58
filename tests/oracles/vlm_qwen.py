"""A random tiny Qwen2.5-VL of the Hugging Face classes, exported with any image size, and golden values.

Run: python tests/oracles/vlm_tokenizers.py && python tests/oracles/vlm_qwen.py
Writes tests/golden/vlm-qwen/ (a model directory) and tests/golden/vlm-qwen.json.
"""

import json
import shutil

import numpy as np
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
from transformers import Qwen2VLVideoProcessor  # noqa: F401  (the processor class wants one to be importable)
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from vlm_chatml import chatml_tokenizer, golden, template
from vlm_export import export, export_decoder, export_embed, spread
from vlm_golden import make_case, write

folder = golden / "vlm-qwen"
patch, merge, window = 4, 2, 16

questions = [
    ((40, 60), "Is there a red circle in the image?", ""),
    ((75, 33), "How many squares, caf\u00e9 \U0001f600?", "\nAnswer with the letter."),
    ((24, 24), "Which  colour does it have?\nSay it.", ""),
]


class Vision(torch.nn.Module):
    """The tower with window order and attention masks as tensor operations, so that the graph takes any grid.

    Same numbers as the Hugging Face forward pass, whose Python loops a trace would freeze; checked below.
    """

    def __init__(self, tower):
        super().__init__()
        self.tower = tower

    def forward(self, pixel_values, image_grid_thw):
        tower = self.tower
        columns = image_grid_thw[0, 2] // merge
        cells = torch.arange(pixel_values.shape[0] // (merge * merge))
        row, column = cells // columns, cells % columns
        side = window // merge // patch
        windows = (row // side) * ((columns + side - 1) // side) + column // side
        order = torch.argsort(windows * cells.shape[0] + cells)
        inner = torch.arange(merge * merge)
        rows = (row[order][:, None] * merge + inner // merge).reshape(-1)
        cols = (column[order][:, None] * merge + inner % merge).reshape(-1)
        x = tower.patch_embed(pixel_values)
        x = x.reshape(-1, merge * merge, x.shape[-1])[order].reshape(-1, x.shape[-1])
        width = tower.blocks[0].attn.head_dim
        frequencies = 1.0 / (10000.0 ** (torch.arange(0, width // 2, 2).float() / (width // 2)))
        angles = torch.cat([rows[:, None] * frequencies, cols[:, None] * frequencies], -1)
        angles = torch.cat([angles, angles], -1)
        ids = windows[order][:, None].repeat(1, merge * merge).reshape(-1)
        inside = torch.where(ids[:, None] == ids[None, :], 0.0, torch.finfo(torch.float32).min)
        for index, block in enumerate(tower.blocks):
            mask = None if index in tower.fullatt_block_indexes else inside
            x = x + self.attend(block.attn, block.norm1(x), angles.cos(), angles.sin(), mask)
            x = x + block.mlp(block.norm2(x))
        return tower.merger(x)[torch.argsort(order)]

    def attend(self, layer, x, cos, sin, mask):
        length = x.shape[0]
        q, k, v = layer.qkv(x).reshape(length, 3, layer.num_heads, -1).permute(1, 0, 2, 3).unbind(0)
        q, k = apply_rotary_pos_emb_vision(q, k, cos, sin)
        scores = torch.matmul(q.transpose(0, 1), k.transpose(0, 1).transpose(1, 2)) * layer.scaling
        if mask is not None:
            scores = scores + mask
        mixed = torch.matmul(torch.softmax(scores, -1), v.transpose(0, 1))
        return layer.proj(mixed.transpose(0, 1).reshape(length, -1))


class Processor:
    """The parts of Qwen2_5_VLProcessor that images need, without its video processor."""

    def __init__(self, image_processor, tokenizer):
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self.image_token = "<|image_pad|>"
        self.template = template % "<|vision_start|><|image_pad|><|vision_end|>"

    def apply_chat_template(self, turns, add_generation_prompt):
        return self.tokenizer.apply_chat_template(
            turns, chat_template=self.template, add_generation_prompt=add_generation_prompt, tokenize=False
        )

    def expand(self, text, count):
        return text.replace(self.image_token, self.image_token * count)

    def __call__(self, text, images, return_tensors):
        inputs = dict(self.image_processor(images, return_tensors="pt"))
        count = features(inputs)
        ids = self.tokenizer(self.expand(text, count), return_tensors="pt")
        inputs["input_ids"], inputs["attention_mask"] = ids["input_ids"], ids["attention_mask"]
        image_id = self.tokenizer.convert_tokens_to_ids(self.image_token)
        inputs["mm_token_type_ids"] = (inputs["input_ids"] == image_id).int()
        return inputs


def build():
    tokenizer = chatml_tokenizer(["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"])
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=patch, merge_size=merge, size={"shortest_edge": 16 * 64, "longest_edge": 40 * 64}
    )
    of = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        vision_config=dict(
            depth=3, hidden_size=32, intermediate_size=48, num_heads=4, out_hidden_size=32, patch_size=patch,
            spatial_merge_size=merge, temporal_patch_size=2, window_size=window, fullatt_block_indexes=[1],
        ),
        text_config=dict(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=512, pad_token_id=of("<|endoftext|>"),
            rope_parameters=dict(rope_type="default", mrope_section=[1, 1, 2], rope_theta=10000.0),
        ),
        image_token_id=of("<|image_pad|>"), video_token_id=of("<|video_pad|>"),
        vision_start_token_id=of("<|vision_start|>"), vision_end_token_id=of("<|vision_end|>"),
        attn_implementation="eager", tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    spread(model, 2, 0.2)
    model.generation_config.eos_token_id = of("<|im_end|>")
    model.generation_config.repetition_penalty = 1.3
    return model, Processor(image_processor, tokenizer)


def save(model, processor):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    processor.tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(processor.template)
    # Newer directories keep the image processor inside processor_config.json.
    image = json.loads(processor.image_processor.to_json_string())
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": image}, indent=1) + "\n")
    model.config.save_pretrained(folder)
    stop = processor.tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    (folder / "generation_config.json").write_text(
        json.dumps({"eos_token_id": stop, "repetition_penalty": 1.3}) + "\n"
    )
    onnx = folder / "onnx"
    vision = Vision(model.model.visual).eval()
    grid = torch.tensor([[1, 6, 10]])
    pixels = torch.randn(60, 3 * 2 * patch * patch)
    with torch.no_grad():
        wanted = model.model.visual(pixels, grid_thw=grid).pooler_output
        assert torch.allclose(vision(pixels, grid), wanted, atol=1e-5)
    export(
        vision, (pixels, grid), onnx / "vision_encoder.onnx", ["pixel_values", "image_grid_thw"], ["image_features"],
        {"pixel_values": {0: "patches"}, "image_grid_thw": {0: "images"}, "image_features": {0: "features"}},
    )
    export_embed(model, onnx / "embed_tokens.onnx")
    export_decoder(model.model.language_model, model.lm_head, onnx / "decoder_model_merged.onnx", three_axes=True)


def features(inputs):
    return int(inputs["image_grid_thw"][0].prod()) // merge**2


def element_players(inputs, processor):
    """Cell of every pixel element, read off an image that is painted with the cells' numbers."""
    _, rows, columns = inputs["image_grid_thw"][0].tolist()
    cells = np.arange((rows // merge) * (columns // merge)).reshape(rows // merge, columns // merge)
    painted = cells.repeat(patch * merge, 0).repeat(patch * merge, 1).astype(np.uint8)
    values = processor.image_processor(
        np.repeat(painted[..., None], 3, -1), return_tensors="np", do_rescale=False, do_normalize=False
    )["pixel_values"]
    return torch.as_tensor(values).long()


def main():
    model, processor = build()
    save(model, processor)
    specials = set(processor.tokenizer.all_special_ids)

    def positions(full, inputs):
        types = torch.zeros_like(full)
        types[full == model.config.image_token_id] = 1
        return model.model.get_rope_index(full, types.int(), image_grid_thw=inputs["image_grid_thw"])[0]

    cases = [
        make_case(
            model, processor, size, question, instruction, specials,
            lambda inputs, image: element_players(inputs, processor),
            features, positions, lambda prompt, inputs: processor.expand(prompt, features(inputs)),
        )
        for size, question, instruction in questions
    ]
    write(golden / "vlm-qwen.json", cases)


if __name__ == "__main__":
    main()
