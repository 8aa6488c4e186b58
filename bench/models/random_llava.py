"""LLaVA-1.5 exports with random weights, in sizes that mean something for measurements on a CPU.

Run: python bench/models/random_llava.py [tiny|30m|150m ...]
Writes bench/models/random-llava/work/<size>/ (not committed): a model directory with 24 x 24 visual tokens, a vocabulary
of 32,000 and the tokenizer of tests/golden/vlm-llava. What such a model answers means nothing; what a forward pass costs does.
"""

import json
import pathlib
import shutil
import sys

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "tests" / "oracles"))
from vlm_export import export, export_decoder, export_embed, spread  # noqa: E402

SIZES = {
    # width, layers, feed-forward, heads of the decoder; width, layers of the vision tower
    "tiny": (128, 4, 384, 4, 128, 3),
    "30m": (384, 6, 1024, 6, 256, 6),
    "150m": (768, 12, 2048, 12, 384, 8),
}
IMAGE, PATCH, VOCABULARY = 336, 14, 32000
IMAGE_TOKEN = 4


class Vision(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        hidden = self.model.model.vision_tower(pixel_values, output_hidden_states=True).hidden_states[-2]
        return self.model.model.multi_modal_projector(hidden[:, 1:])


def build(size):
    width, layers, inner, heads, vision_width, vision_layers = SIZES[size]
    vision = CLIPVisionConfig(
        hidden_size=vision_width, intermediate_size=4 * vision_width, num_hidden_layers=vision_layers,
        num_attention_heads=vision_width // 64 or 1, image_size=IMAGE, patch_size=PATCH,
    )
    text = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=1024,
        pad_token_id=3, bos_token_id=1, eos_token_id=2,
    )
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_id=IMAGE_TOKEN, image_token_index=IMAGE_TOKEN,
        projector_hidden_act="gelu", vision_feature_layer=-2, vision_feature_select_strategy="default",
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config).eval()
    spread(model, 1, 0.05)
    return model


def save(size):
    model = build(size)
    folder = pathlib.Path(__file__).resolve().parent / "random-llava" / "work" / size
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    golden = root / "tests" / "golden" / "vlm-llava"
    for name in ("tokenizer.json", "chat_template.json", "generation_config.json"):
        shutil.copy(golden / name, folder / name)
    tokenizer = json.loads((golden / "tokenizer_config.json").read_text())
    tokenizer["model_max_length"] = 1024
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    processor = json.loads((golden / "preprocessor_config.json").read_text())
    processor["size"], processor["crop_size"] = {"shortest_edge": IMAGE}, {"height": IMAGE, "width": IMAGE}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    model.config.save_pretrained(folder)
    export(
        Vision(model), (torch.randn(2, 3, IMAGE, IMAGE),), folder / "onnx" / "vision_encoder.onnx",
        ["pixel_values"], ["image_features"],
        {"pixel_values": {0: "batch_size"}, "image_features": {0: "batch_size"}},
    )
    export_embed(model, folder / "onnx" / "embed_tokens.onnx")
    export_decoder(model.model.language_model, model.lm_head, folder / "onnx" / "decoder_model_merged.onnx")
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{folder}: {count / 1e6:.0f} M parameters")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or list(SIZES):
        with torch.no_grad():
            save(wanted)
