"""llava-tiny: CLIP tower, projector and LLaMA decoder of `LlavaForConditionalGeneration`."""

import json

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from graphs import IMAGE_PROCESSOR, write, write_decoder, write_embedding, write_json
from stream import CELL, CELLS, IMAGE_SIZE

SPECIALS = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
PAD, BOS, EOS, UNK, IMAGE = range(5)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'USER: ' }}{% else %}{{ ' ASSISTANT: ' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] }}{% endfor %}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"
)


class Llava:
    name = "llava-tiny"
    image_token = "<image>"
    head, tail, answer = "USER: <image>\n", " ASSISTANT:", " "
    pad, end = "<pad>", "</s>"
    places, width = True, 128

    def build_tokenizer(self, words):
        return build_tokenizer(words)

    def build(self, tokenizer):
        vision = CLIPVisionConfig(
            hidden_size=128, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
            image_size=IMAGE_SIZE, patch_size=CELL, projection_dim=128,
        )
        text = LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(), hidden_size=128, intermediate_size=256, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=256, initializer_range=0.08,
            # Slow rotations leave most of a small head free to match content over a whole image.
            rope_theta=1e6,
            bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD, tie_word_embeddings=False,
        )
        config = LlavaConfig(
            vision_config=vision, text_config=text, image_token_index=IMAGE, image_seq_length=CELLS,
            vision_feature_layer=-1, vision_feature_select_strategy="default", tie_word_embeddings=False,
            multimodal_projector_bias=True,
        )
        return LlavaForConditionalGeneration(config)

    def vision(self, model):
        return [model.model.vision_tower, model.model.multi_modal_projector]

    def features(self, model, pixel_values):
        hidden = model.model.vision_tower(pixel_values, output_hidden_states=True).hidden_states[-1][:, 1:]
        return model.model.multi_modal_projector(hidden)

    def feeds(self, pixel_values):
        return [{"pixel_values": pixel_values.numpy()}]

    def positions(self, head, length):
        return torch.arange(len(head) + length)[None]

    def export(self, model, folder, tokenizer):
        onnx = folder / "onnx"
        write(
            VisionEncoder(model), (torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE),), onnx / "vision_encoder.onnx",
            ["pixel_values"], ["image_features"], {"pixel_values": {0: "images"}, "image_features": {0: "images"}},
        )
        write_embedding(model, onnx)
        write_decoder(model, onnx)
        write_configs(model, folder, tokenizer)


def build_tokenizer(words):
    """A byte-pair tokenizer in LLaMA's manner (U+2581 for spaces) in which every word of the suite is one token."""
    alphabet = [chr(c) for c in range(33, 127)] + ["\n", "\u2581"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(
        vocab_size=4000, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(words + [" USER", " ASSISTANT"], trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", BOS)]
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIALS])
    return tokenizer


class VisionEncoder(nn.Module):
    """pixel_values [n, 3, 64, 64] -> image_features [n, 64, width]: CLIP without its class token, then the projector."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        tower = self.model.model.vision_tower
        x = tower.embeddings(pixel_values)
        x = tower.pre_layrnorm(x)
        for layer in tower.encoder.layers:
            attention = layer.self_attn
            y = layer.layer_norm1(x)
            shape = (*y.shape[:2], attention.num_heads, attention.head_dim)
            q, k, v = (f(y).view(shape).transpose(1, 2) for f in (attention.q_proj, attention.k_proj, attention.v_proj))
            weights = (q @ k.transpose(-1, -2) * attention.scale).softmax(-1)
            x = x + attention.out_proj((weights @ v).transpose(1, 2).reshape(y.shape))
            x = x + layer.mlp(layer.layer_norm2(x))
        return self.model.model.multi_modal_projector(x[:, 1:])


def write_configs(model, folder, tokenizer):
    config = model.config.to_dict()
    config["architectures"] = ["LlavaForConditionalGeneration"]
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {
        "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD, "max_new_tokens": 4, "do_sample": False,
    })
    write_json(folder / "preprocessor_config.json", {
        "image_processor_type": "CLIPImageProcessor", "processor_class": "LlavaProcessor",
        "size": {"shortest_edge": IMAGE_SIZE},
        "do_center_crop": True, "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE}, **IMAGE_PROCESSOR,
    })
    write_json(folder / "processor_config.json", {
        "processor_class": "LlavaProcessor", "image_token": "<image>", "patch_size": CELL,
        "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1,
    })
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "processor_class": "LlavaProcessor",
        "add_bos_token": True, "add_eos_token": False, "model_max_length": 256, "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "image_token": "<image>",
        "added_tokens_decoder": {
            str(i): {"content": text, "lstrip": False, "normalized": False, "rstrip": False,
                     "single_word": False, "special": True} for i, text in enumerate(SPECIALS)
        },
        "chat_template": CHAT_TEMPLATE,
    })
    write_json(folder / "tokenizer.json", json.loads(tokenizer.to_str()), indent=1)
