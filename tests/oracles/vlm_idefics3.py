"""A random tiny Idefics3 (SmolVLM) of the Hugging Face classes, exported, with golden values computed by PyTorch.

Run: python tests/oracles/vlm_tokenizers.py && python tests/oracles/vlm_idefics3.py
Writes tests/golden/vlm-idefics3/ (a model directory) and tests/golden/vlm-idefics3.json.
"""

import json
import shutil

import numpy as np
import torch
from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from vlm_chatml import chatml_tokenizer, golden
from vlm_export import export, export_decoder, export_embed, spread
from vlm_golden import make_case, write

folder = golden / "vlm-idefics3"
side, patch, scale = 32, 4, 2
grid = side // patch // scale

template = (
    "<|im_start|>"
    "{%- for message in messages -%}"
    "{{ message['role'] | capitalize }}:"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{ '<image>' }}{%- else -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}"
    "{{ '<end_of_utterance>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}"
)

questions = [
    ((40, 90), "Is there a red circle in the image?", ""),
    ((75, 60), "How many squares, caf\u00e9 \U0001f600?", "\nAnswer with the letter."),
    ((100, 40), "Which  colour does it have?\nSay it.", ""),
]


class Vision(torch.nn.Module):
    """The tower on whole tiles; the position of every patch, which the class derives from the mask, is then constant."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        seen = []
        table = model.vision_model.embeddings.position_embedding
        hook = table.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
        model.vision_model(torch.zeros(1, 3, side, side))
        hook.remove()
        self.positions = seen[0]

    def forward(self, pixel_values, pixel_attention_mask):
        tower = self.model.vision_model
        pixels = pixel_values * pixel_attention_mask[:, :, None].float()
        x = tower.embeddings.patch_embedding(pixels.flatten(0, 1)).flatten(2).transpose(1, 2)
        x = x + tower.embeddings.position_embedding(self.positions)
        for layer in tower.encoder.layers:
            x = layer(x, None)
        return self.model.connector(tower.post_layernorm(x))


def build():
    names = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"]
    names += [f"<row_{i}_col_{j}>" for i in range(1, 5) for j in range(1, 5)]
    tokenizer = chatml_tokenizer(names)
    tokenizer.bos_token = "<|im_start|>"
    image_processor = Idefics3ImageProcessorPil(size={"longest_edge": 88}, max_image_size={"longest_edge": side})
    processor = Idefics3Processor(image_processor, tokenizer, image_seq_len=grid**2, chat_template=template)
    of = tokenizer.convert_tokens_to_ids
    config = Idefics3Config(
        vision_config=dict(
            hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=side,
            patch_size=patch,
        ),
        text_config=dict(
            model_type="llama", vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
            pad_token_id=of("<|endoftext|>"), bos_token_id=of("<|im_start|>"), eos_token_id=of("<end_of_utterance>"),
        ),
        image_token_id=of("<image>"), scale_factor=scale, attn_implementation="eager",
        pad_token_id=of("<|endoftext|>"),
    )
    torch.manual_seed(0)
    model = Idefics3ForConditionalGeneration(config).eval()
    spread(model, 5, 0.18)
    model.generation_config.eos_token_id = of("<end_of_utterance>")
    return model, processor


def save(model, processor):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    processor.tokenizer.save_pretrained(folder)
    for stale in folder.glob("*.jinja"):
        stale.unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    # Older directories keep the template in tokenizer_config.json.
    config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "preprocessor_config.json").write_text(processor.image_processor.to_json_string())
    (folder / "processor_config.json").write_text(json.dumps({"image_seq_len": grid**2}) + "\n")
    model.config.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": model.generation_config.eos_token_id}) + "\n")
    onnx = folder / "onnx"
    vision = Vision(model.model)
    pixels, mask = torch.randn(1, 3, 3, side, side), torch.ones(1, 3, side, side, dtype=torch.bool)
    with torch.no_grad():
        wanted = model.model.get_image_features(pixels, mask).pooler_output
        assert torch.allclose(vision(pixels, mask), wanted, atol=1e-5)
    axes = {0: "batch_size", 1: "tiles"}
    export(
        vision, (pixels, mask), onnx / "vision_encoder.onnx", ["pixel_values", "pixel_attention_mask"],
        ["image_features"], {"pixel_values": axes, "pixel_attention_mask": axes, "image_features": {0: "tiles"}},
    )
    export_embed(model, onnx / "embed_tokens.onnx")
    export_decoder(model.model.text_model, model.lm_head, onnx / "decoder_model_merged.onnx")


def element_players(inputs):
    tiles = inputs["pixel_values"].shape[1]
    cells = np.arange(tiles * grid * grid).reshape(1, tiles, 1, grid, grid)
    return torch.as_tensor(cells.repeat(3, 2).repeat(side // grid, 3).repeat(side // grid, 4))


def main():
    model, processor = build()
    save(model, processor)

    cases = []
    for size, question, instruction in questions:
        info = processor.image_processor(
            np.zeros((*size, 3), np.uint8), return_tensors="np", return_row_col_info=True
        )
        text = processor.replace_image_token({"rows": info["rows"], "cols": info["cols"]}, 0)
        cases.append(
            make_case(
                model, processor, size, question, instruction, set(processor.tokenizer.all_special_ids),
                lambda inputs, image: element_players(inputs),
                lambda inputs: inputs["pixel_values"].shape[1] * grid**2,
                lambda full, inputs: torch.arange(full.shape[1])[None],
                lambda prompt, inputs: prompt.replace("<image>", text),
            )
        )
    write(golden / "vlm-idefics3.json", cases)


if __name__ == "__main__":
    main()
