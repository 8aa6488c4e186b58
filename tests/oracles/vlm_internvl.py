"""A random tiny InternVL-3.5 of the Hugging Face classes, exported, with golden values computed by PyTorch.

Run: python tests/oracles/vlm_tokenizers.py && python tests/oracles/vlm_internvl.py
Writes tests/golden/vlm-internvl/ (a model directory) and tests/golden/vlm-internvl.json.
"""

import json
import shutil

import numpy as np
import torch
from transformers import InternVLConfig, InternVLForConditionalGeneration
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

from vlm_chatml import chatml_tokenizer, golden, template
from vlm_export import export, export_decoder, export_embed, spread
from vlm_golden import make_case, write

folder = golden / "vlm-internvl"
side, patch = 32, 4
grid = side // patch // 2

questions = [
    ((40, 44), "Is there a red circle in the image?", ""),
    ((40, 90), "How many squares, caf\u00e9 \U0001f600?", "\nAnswer with the letter."),
    ((100, 40), "Which  colour does it have?\nSay it.", ""),
]


class Vision(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        return self.model.get_image_features(
            pixel_values, vision_feature_layer=-1, vision_feature_select_strategy="default"
        ).pooler_output


class Processor:
    """The parts of InternVLProcessor that images need, without its video processor."""

    def __init__(self, image_processor, tokenizer):
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self.template = template % "<IMG_CONTEXT>\\n"

    def apply_chat_template(self, turns, add_generation_prompt):
        return self.tokenizer.apply_chat_template(
            turns, chat_template=self.template, add_generation_prompt=add_generation_prompt, tokenize=False
        )

    def expand(self, text, tiles):
        return text.replace("<IMG_CONTEXT>", "<img>" + "<IMG_CONTEXT>" * grid**2 * tiles + "</img>")

    def __call__(self, text, images, return_tensors):
        inputs = dict(self.image_processor(images, return_tensors="pt"))
        tiles = int(inputs.pop("num_patches")[0])
        ids = self.tokenizer(self.expand(text, tiles), return_tensors="pt")
        inputs["input_ids"], inputs["attention_mask"] = ids["input_ids"], ids["attention_mask"]
        return inputs


def build():
    tokenizer = chatml_tokenizer(
        ["<img>", "</img>", "<IMG_CONTEXT>", "<video>"], start_image_token="<img>", end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>", video_token="<video>",
    )
    image_processor = GotOcr2ImageProcessorPil(
        size={"height": side, "width": side}, crop_to_patches=True, min_patches=1, max_patches=6
    )
    of = tokenizer.convert_tokens_to_ids
    config = InternVLConfig(
        vision_config=dict(
            hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=[side, side],
            patch_size=[patch, patch], attn_implementation="eager",
        ),
        text_config=dict(
            model_type="qwen3", vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=512,
            pad_token_id=of("<|endoftext|>"), eos_token_id=of("<|im_end|>"),
        ),
        image_token_id=of("<IMG_CONTEXT>"), image_seq_length=grid**2, attn_implementation="eager",
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    model = InternVLForConditionalGeneration(config).eval()
    spread(model, 3, 0.3)
    model.generation_config.eos_token_id = of("<|im_end|>")
    return model, Processor(image_processor, tokenizer)


def save(model, processor):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    processor.tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(processor.template)
    (folder / "preprocessor_config.json").write_text(processor.image_processor.to_json_string())
    (folder / "processor_config.json").write_text(
        json.dumps({"image_seq_length": grid**2, "processor_class": "InternVLProcessor"}) + "\n"
    )
    model.config.save_pretrained(folder)
    onnx = folder / "onnx"
    export(
        Vision(model.model), (torch.randn(2, 3, side, side),), onnx / "vision_encoder.onnx", ["pixel_values"],
        ["image_features"], {"pixel_values": {0: "tiles"}, "image_features": {0: "tiles"}},
    )
    export_embed(model, onnx / "embed_tokens.onnx")
    export_decoder(model.model.language_model, model.lm_head, onnx / "decoder_model_merged.onnx")


def element_players(inputs):
    """Cell of every pixel element: tiles in order, each a grid of its own, all three channels together."""
    tiles = inputs["pixel_values"].shape[0]
    cells = np.arange(tiles * grid * grid).reshape(tiles, 1, grid, grid)
    return torch.as_tensor(cells.repeat(3, 1).repeat(side // grid, 2).repeat(side // grid, 3))


def main():
    model, processor = build()
    save(model, processor)
    cases = [
        make_case(
            model, processor, size, question, instruction, set(processor.tokenizer.all_special_ids),
            lambda inputs, image: element_players(inputs), lambda inputs: inputs["pixel_values"].shape[0] * grid**2,
            lambda full, inputs: torch.arange(full.shape[1])[None],
            lambda prompt, inputs: processor.expand(prompt, inputs["pixel_values"].shape[0]),
        )
        for size, question, instruction in questions
    ]
    write(golden / "vlm-internvl.json", cases)


if __name__ == "__main__":
    main()
