"""internvl-tiny: `InternVLForConditionalGeneration` with its vision tower, pixel shuffle, and a Qwen2 decoder."""

import torch
from torch import nn
from transformers import InternVLConfig, InternVLForConditionalGeneration

from families.chatml import END, PAD, build_tokenizer, write_text_configs
from graphs import IMAGE_PROCESSOR, write, write_decoder, write_embedding, write_json
from stream import CELL, CELLS, IMAGE_SIZE

SPECIALS = ["<img>", "</img>", "<IMG_CONTEXT>"]


class InternVl:
    name = "internvl-tiny"
    image_token = "<IMG_CONTEXT>"
    head = "<|im_start|>user\n<img><IMG_CONTEXT></img>\n"
    tail, answer = "<|im_end|>\n<|im_start|>assistant\n", ""
    pad, end = PAD, END
    places, width = True, 128

    def build_tokenizer(self, words):
        return build_tokenizer(words, SPECIALS)

    def build(self, tokenizer):
        of = tokenizer.token_to_id
        config = InternVLConfig(
            vision_config=dict(
                hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
                image_size=[IMAGE_SIZE, IMAGE_SIZE], patch_size=[CELL // 2, CELL // 2],
            ),
            text_config=dict(
                model_type="qwen2", vocab_size=tokenizer.get_vocab_size(), hidden_size=128, intermediate_size=256,
                num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512,
                initializer_range=0.08, rope_theta=1e6, rope_parameters=dict(rope_type="default", rope_theta=1e6),
                pad_token_id=of(PAD), eos_token_id=of(END), bos_token_id=None, tie_word_embeddings=False,
            ),
            image_token_id=of("<IMG_CONTEXT>"), image_seq_length=CELLS, tie_word_embeddings=False,
        )
        return InternVLForConditionalGeneration(config)

    def vision(self, model):
        return [model.model.vision_tower, model.model.multi_modal_projector]

    def features(self, model, pixel_values):
        return model.model.get_image_features(
            pixel_values, vision_feature_layer=-1, vision_feature_select_strategy="default"
        ).pooler_output

    def feeds(self, pixel_values):
        return [{"pixel_values": pixel_values.numpy()}]

    def positions(self, head, length):
        return torch.arange(len(head) + length)[None]

    def export(self, model, folder, tokenizer):
        onnx = folder / "onnx"
        write(
            VisionEncoder(model, self), (torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE),), onnx / "vision_encoder.onnx",
            ["pixel_values"], ["image_features"], {"pixel_values": {0: "tiles"}, "image_features": {0: "tiles"}},
        )
        write_embedding(model, onnx)
        write_decoder(model, onnx)
        config = model.config.to_dict()
        config["architectures"] = ["InternVLForConditionalGeneration"]
        write_json(folder / "config.json", config)
        write_json(folder / "preprocessor_config.json", {
            "image_processor_type": "GotOcr2ImageProcessor", "crop_to_patches": True, "min_patches": 1,
            "max_patches": 6, "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE}, **IMAGE_PROCESSOR,
        })
        write_json(folder / "processor_config.json", {
            "processor_class": "InternVLProcessor", "image_seq_length": CELLS,
        })
        write_text_configs(folder, tokenizer, "<IMG_CONTEXT>\\n", SPECIALS, {
            "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
        })


class VisionEncoder(nn.Module):
    """pixel_values [tiles, 3, 64, 64] -> image_features [tiles, 64, width]."""

    def __init__(self, model, family):
        super().__init__()
        self.model, self.family = model, family

    def forward(self, pixel_values):
        embeddings = self.model.model.vision_tower.embeddings
        # Tiles have one size; a traced module would resample its position embeddings to be ready for others.
        embeddings.interpolate_pos_encoding = lambda *_: embeddings.position_embeddings
        try:
            return self.family.features(self.model, pixel_values)
        finally:
            del embeddings.interpolate_pos_encoding
