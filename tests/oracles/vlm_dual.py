"""Random tiny CLIP and SigLIP models of the Hugging Face classes, exported, with golden values computed by PyTorch.

Run: python tests/oracles/vlm_dual.py
Writes tests/golden/vlm-clip, tests/golden/vlm-siglip (model directories with both file layouts) and tests/golden/vlm-dual.json.
"""

import json
import pathlib
import shutil

import numpy as np
import torch
from PIL import ImageFilter
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast, SiglipConfig, SiglipModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from vlm_export import export, spread
from vlm_golden import blur, pixel_sample
from vlm_pixels import picture

golden = pathlib.Path(__file__).parent.parent / "golden"

corpus = [
    "a photo of a red circle left of a blue square",
    "two green triangles and a yellow star on a black background",
    "a photo of a cat, not a dog; it's small!",
    "an image without any circles",
] * 20

captions = [
    ((40, 60), "a photo of a red circle"),
    ((64, 48), "Two GREEN squares, caf\u00e9 stars!"),
    ((28, 28), "  not a dog;  it's a blue-ish cat"),
]


def clip_tokenizer():
    """As OpenAI's: byte-level pairs with an end-of-word mark, special tokens last, the end token doubles as the pad."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    pattern = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    kept = [c for c in alphabet if c in "abcdefghijklmnopqrstuvwxyz'!;,-\u00c3\u00a9\u00a4\u0142"]
    trainer = trainers.BpeTrainer(
        vocab_size=170, end_of_word_suffix="</w>", initial_alphabet=kept, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    # The trainer adds word ends only for letters that it saw at one.
    state = json.loads(tokenizer.to_str())
    vocabulary = state["model"]["vocab"]
    for letter in kept:
        vocabulary.setdefault(f"{letter}</w>", len(vocabulary))
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in ("<|startoftext|>", "<|endoftext|>")]
    )
    ids = {t: tokenizer.token_to_id(t) for t in ("<|startoftext|>", "<|endoftext|>")}
    tokenizer.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", ids["<|endoftext|>"]), ("<|startoftext|>", ids["<|startoftext|>"]),
        trim_offsets=False, add_prefix_space=False,
    )
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>",
        pad_token="<|endoftext|>", model_max_length=77,
    )


def siglip_tokenizer():
    """As SigLIP's: SentencePiece on text in lower case without punctuation; the end token doubles as the pad."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[!\"\#\$%\&'\(\)\*\+,\-\.:;=\?@\[\]\^_`\{\|\}\~]"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>", unk_token="<unk>", model_max_length=40
    )


tower = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def build_clip(tokenizer):
    vision = {**tower, "image_size": 28, "patch_size": 7, "projection_dim": 20}
    # End token 2 is how published configurations ask for the highest id, whatever the vocabulary.
    text = {
        **tower, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "projection_dim": 20, "eos_token_id": 2,
        "bos_token_id": 0, "pad_token_id": 1,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=20, attn_implementation="eager")
    torch.manual_seed(0)
    model = CLIPModel(config).eval()
    spread(model, 1, 0.3)
    with torch.no_grad():
        model.logit_scale.fill_(3.1)
    return model


def build_siglip(tokenizer):
    vision = {**tower, "image_size": 28, "patch_size": 7}
    text = {
        **tower, "vocab_size": len(tokenizer), "max_position_embeddings": 40, "projection_size": 24,
        "pad_token_id": 1, "eos_token_id": 1, "bos_token_id": 1,
    }
    config = SiglipConfig(text_config=text, vision_config=vision, attn_implementation="eager")
    torch.manual_seed(0)
    model = SiglipModel(config).eval()
    spread(model, 2, 0.3)
    with torch.no_grad():
        model.logit_scale.fill_(2.3)
        model.logit_bias.fill_(-1.5)
    return model


class Both(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, pixel_values, attention_mask=None):
        mask = {} if attention_mask is None else {"attention_mask": attention_mask}
        out = self.model(input_ids=input_ids, pixel_values=pixel_values, **mask)
        return out.logits_per_image, out.logits_per_text, out.text_embeds, out.image_embeds


class Image(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        out = self.model.vision_model(pixel_values=pixel_values)
        projection = getattr(self.model, "visual_projection", torch.nn.Identity())
        return projection(out.pooler_output), out.last_hidden_state


class Text(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask=None):
        mask = {} if attention_mask is None else {"attention_mask": attention_mask}
        out = self.model.text_model(input_ids=input_ids, **mask)
        projection = getattr(self.model, "text_projection", torch.nn.Identity())
        return projection(out.pooler_output), out.last_hidden_state


def save(model, tokenizer, image_processor, folder, masked):
    """`masked`: whether the text side takes an attention mask."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tokenizer.save_pretrained(folder)
    model.config.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(image_processor.to_json_string())
    onnx = folder / "onnx"
    pixels = torch.randn(2, 3, 28, 28)
    length = 6 if masked else 40
    ids = torch.randint(3, 20, (3, length))
    ids[:, -1] = len(tokenizer) - 1
    mask = torch.ones_like(ids)
    mask[0, 2] = 0
    text = (ids, mask) if masked else (ids,)
    text_names = ["input_ids", "attention_mask"] if masked else ["input_ids"]
    rows = {0: "text_batch_size", 1: "sequence_length"}
    export(
        Both(model), (ids, pixels, mask) if masked else (ids, pixels), onnx / "model.onnx",
        ["input_ids", "pixel_values"] + text_names[1:], ["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"],
        {
            **{name: rows for name in text_names}, "pixel_values": {0: "image_batch_size"},
            "logits_per_image": {0: "image_batch_size", 1: "text_batch_size"},
            "logits_per_text": {0: "text_batch_size", 1: "image_batch_size"},
            "text_embeds": {0: "text_batch_size"}, "image_embeds": {0: "image_batch_size"},
        },
    )
    pooled = ("image_embeds", "text_embeds") if masked else ("pooler_output", "pooler_output")
    export(
        Image(model), (pixels,), onnx / "vision_model.onnx", ["pixel_values"], [pooled[0], "last_hidden_state"],
        {"pixel_values": {0: "batch_size"}, pooled[0]: {0: "batch_size"}},
    )
    axes = {name: {0: "batch_size", 1: "sequence_length"} for name in text_names}
    export(Text(model), text, onnx / "text_model.onnx", text_names, [pooled[1], "last_hidden_state"], {**axes, pooled[1]: {0: "batch_size"}})
    if masked:
        export(
            Text(model), (ids,), folder / "maskless" / "text_model.onnx", ["input_ids"], ["text_embeds", "last_hidden_state"],
            {"input_ids": axes["input_ids"], "text_embeds": {0: "batch_size"}},
        )


def cells(model, ids, pixels, baseline, positions, masked, pad, count=8):
    """Similarities of random coalitions of the 4 x 4 patches and the caption's tokens."""
    generator = np.random.default_rng(3)
    patches = torch.arange(16).reshape(1, 1, 4, 4).repeat_interleave(7, 2).repeat_interleave(7, 3).expand(1, 3, 28, 28)
    result = []
    for case in range(count):
        image = generator.integers(0, 2, 16)
        text = generator.integers(0, 2, len(positions))
        if case < 2:
            image[:], text[:] = 1 - case, 1 - case
        seen = torch.where(torch.as_tensor(image)[patches].bool(), pixels, baseline)
        given, mask = ids.clone(), torch.ones_like(ids)
        for present, position in zip(text, positions):
            if not present and masked:
                mask[0, position] = 0
            elif not present:
                given[0, position] = pad
        out = model(input_ids=given, pixel_values=seen, **({"attention_mask": mask} if masked else {}))
        result.append(
            {
                "image": image.tolist(), "text": text.tolist(), "logit": out.logits_per_image.item(),
                "cosine": (out.image_embeds @ out.text_embeds.T).item(),
            }
        )
        if masked:
            # What an unattended token was must not matter.
            other = given.masked_fill(mask == 0, 3)
            again = model(input_ids=other, pixel_values=seen, attention_mask=mask)
            assert torch.allclose(again.logits_per_image, out.logits_per_image, atol=1e-5)
    return result


def make_case(model, tokenizer, image_processor, size, caption, masked):
    image = picture(*size)
    blurred = image.filter(ImageFilter.GaussianBlur(blur * max(size)))
    pixels, baseline = (image_processor(i, return_tensors="pt")["pixel_values"] for i in (image, blurred))
    padding = {} if masked else {"padding": "max_length", "truncation": True}
    encoding = tokenizer(caption, return_offsets_mapping=True, **padding)
    ids = torch.as_tensor(encoding["input_ids"])[None]
    specials = set(tokenizer.all_special_ids)
    positions = [
        i for i, (token, (a, b)) in enumerate(zip(encoding["input_ids"], encoding["offset_mapping"]))
        # A lone word mark in front stands for no text, though its offsets say the first character.
        if b > a and token not in specials and not (i == 0 and tokenizer.convert_ids_to_tokens(token) == "\u2581")
    ]
    with torch.no_grad():
        scored = cells(model, ids, pixels, baseline, positions, masked, tokenizer.pad_token_id)
    return {
        "size": list(size), "caption": caption, "ids": ids[0].tolist(), "positions": positions,
        "pixelShape": list(pixels.shape), "pixels": pixel_sample(pixels.numpy()), "cells": scored,
    }


def main():
    result = {}
    for name, tokenizer, build, image_processor in (
        ("clip", clip_tokenizer(), build_clip, CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})),
        ("siglip", siglip_tokenizer(), build_siglip, SiglipImageProcessorPil(size={"height": 28, "width": 28})),
    ):
        model = build(tokenizer)
        save(model, tokenizer, image_processor, golden / f"vlm-{name}", name == "clip")
        cases = [make_case(model, tokenizer, image_processor, *case, name == "clip") for case in captions]
        result[name] = {
            "scale": model.logit_scale.exp().item(), "bias": getattr(model, "logit_bias", torch.zeros(1)).item(), "cases": cases,
        }
    (golden / "vlm-dual.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
