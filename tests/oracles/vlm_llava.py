"""A random tiny LLaVA-1.5 of the Hugging Face classes, exported, with golden values computed by PyTorch.

Run: python tests/oracles/vlm_tokenizers.py && python tests/oracles/vlm_llava.py
Writes tests/golden/vlm-llava/ (a model directory) and tests/golden/vlm-llava.json.
"""

import json
import pathlib
import shutil

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
from transformers import PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from vlm_export import export, export_decoder, export_embed, spread
from vlm_golden import make_case, write

golden = pathlib.Path(__file__).parent.parent / "golden"
folder = golden / "vlm-llava"

# As published LLaVA-1.5 templates write one user turn, in our own words.
template = (
    "{%- for message in messages -%}"
    "{{ message['role'] | upper }}: "
    "{%- for part in message['content'] if part['type'] == 'image' -%}{{ ' <image>\\n' }}{%- endfor -%}"
    "{%- for part in message['content'] if part['type'] == 'text' -%}{{ part['text'] + ' ' }}{%- endfor -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}"
)

questions = [
    ((40, 60), "Is there a red circle in the image?", ""),
    ((64, 48), "How many squares, caf\u00e9 \U0001f600?", "\nAnswer with the letter."),
    ((28, 28), "Which  colour does it have?", ""),
]


class Vision(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        tower = self.model.model.vision_tower
        hidden = tower(pixel_values, output_hidden_states=True).hidden_states[-2]
        return self.model.model.multi_modal_projector(hidden[:, 1:])


def build():
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(golden / "vlm-tokenizers" / "llama-legacy.json"),
        bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>", model_max_length=200,
    )
    image_processor = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = LlavaProcessor(
        image_processor=image_processor, tokenizer=tokenizer, patch_size=7, vision_feature_select_strategy="default",
        chat_template=template, num_additional_image_tokens=1,
    )
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, image_size=28, patch_size=7
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, pad_token_id=3, bos_token_id=1, eos_token_id=2,
    )
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"), projector_hidden_act="gelu",
        vision_feature_layer=-2, vision_feature_select_strategy="default", attn_implementation="eager",
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config).eval()
    spread(model, 1, 0.3)
    return model, processor


def save(model, processor):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    # The file names that published LLaVA-1.5 directories have.
    processor.tokenizer.save_pretrained(folder)
    for stale in folder.glob("*.jinja"):
        stale.unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}, indent=1) + "\n")
    (folder / "preprocessor_config.json").write_text(processor.image_processor.to_json_string())
    model.config.save_pretrained(folder)
    (folder / "generation_config.json").write_text(
        json.dumps({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}) + "\n"
    )
    onnx = folder / "onnx"
    export(
        Vision(model), (torch.randn(2, 3, 28, 28),), onnx / "vision_encoder.onnx", ["pixel_values"], ["image_features"],
        {"pixel_values": {0: "batch_size"}, "image_features": {0: "batch_size"}},
    )
    export_embed(model, onnx / "embed_tokens.onnx")
    export_decoder(model.model.language_model, model.lm_head, onnx / "decoder_model_merged.onnx")


def element_players():
    """Cell of every pixel element: a 4 x 4 grid of 7 x 7 pixels in three planes."""
    cells = torch.arange(16).reshape(1, 1, 4, 4).repeat_interleave(7, 2).repeat_interleave(7, 3)
    return cells.expand(1, 3, 28, 28)


def main():
    model, processor = build()
    save(model, processor)
    cases = [
        make_case(
            model, processor, size, question, instruction, set(processor.tokenizer.all_special_ids) | {4},
            lambda inputs, image: element_players(), lambda inputs: 16,
            lambda full, inputs: torch.arange(full.shape[1])[None],
            lambda prompt, inputs: prompt.replace("<image>", "<image>" * 16),
        )
        for size, question, instruction in questions
    ]
    write(golden / "vlm-llava.json", cases)


if __name__ == "__main__":
    main()
