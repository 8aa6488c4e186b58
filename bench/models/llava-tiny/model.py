"""The tiny LLaVA: its configuration, its tokenizer, and the stream of training scenes."""

import base64
import json
import subprocess
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
STREAM = ROOT / "dist" / "bench" / "models" / "training-stream.js"

SPECIALS = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
PAD, BOS, EOS, UNK, IMAGE = range(5)
IMAGE_SIZE, PATCH, GRID = 64, 8, 8
CELLS = GRID * GRID
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
# What a cell may show, in the order of the generator's class numbers (CELL_CLASSES of training-stream.ts).
COLOURS = ["red", "green", "blue", "yellow"]
SHAPES = ["circle", "square", "triangle", "cross"]
SIGNS = ["yes", "no", "1", "2", "3", "4", "A", "B", "C", "D"]
# Width of the Gaussian of the blurred image as a share of the longer side: colours no longer tell cells apart.
BLUR = 0.25
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


def words():
    out = subprocess.run(["node", str(STREAM), "--words"], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)


def build_tokenizer():
    """A byte-pair tokenizer in LLaMA's manner (U+2581 for spaces) in which every word of the suite is one token."""
    alphabet = [chr(c) for c in range(33, 127)] + ["\n", "\u2581"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(
        vocab_size=4000, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(words() + [" USER", " ASSISTANT"], trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", BOS)]
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIALS])
    return tokenizer


def build_config(vocabulary):
    vision = CLIPVisionConfig(
        hidden_size=128, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
        image_size=IMAGE_SIZE, patch_size=PATCH, projection_dim=128,
    )
    text = LlamaConfig(
        vocab_size=vocabulary, hidden_size=128, intermediate_size=256, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=256, initializer_range=0.08,
        # Slow rotations leave most of a small head free to match content over a whole image.
        rope_theta=1e6,
        bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD, tie_word_embeddings=False,
    )
    return LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=IMAGE, image_seq_length=CELLS,
        vision_feature_layer=-1, vision_feature_select_strategy="default", tie_word_embeddings=False,
        multimodal_projector_bias=True,
    )


def normalise(pixels):
    """Bytes [n, 64, 64, 3] -> pixel_values [n, 3, 64, 64]."""
    values = (pixels.astype(np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))


def scenes(seed, objects, turns, mix=None, priors=0.2, signs=0.15):
    """Yields (pixels [64, 64, 3], classes of cells [64], turns [(question, answer, form)]) from the generator."""
    command = ["node", str(STREAM), "--scenes", "1000000000", "--seed", str(seed), "--objects", objects,
               "--turns", str(turns), "--priors", str(priors), "--signs", str(signs)]
    if mix:
        command += ["--mix", ",".join(f"{subject}:{weight}" for subject, weight in mix.items())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        for line in process.stdout:
            scene = json.loads(line)
            pixels = np.frombuffer(base64.b64decode(scene["pixels"]), np.uint8).reshape(IMAGE_SIZE, IMAGE_SIZE, 3)
            yield pixels, scene["cells"], scene["turns"]
    finally:
        process.kill()
        process.wait()
