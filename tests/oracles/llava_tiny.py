"""llava-tiny as the Hugging Face class in PyTorch, its weights read from the initializers of the exported files.

Independent of ONNX Runtime and of the project's own code: the forward pass is `LlavaForConditionalGeneration`'s.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from PIL import Image, ImageFilter
from tokenizers import Tokenizer
from transformers import CLIPImageProcessor, LlavaConfig, LlavaForConditionalGeneration

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "bench" / "models" / "llava-tiny" / "model"
BLUR = 0.25


def load_model(folder=MODEL):
    state = {}
    for name in ("vision_encoder", "embed_tokens", "decoder_model_merged"):
        for initializer in onnx.load(folder / "onnx" / f"{name}.onnx").graph.initializer:
            value = torch.from_numpy(numpy_helper.to_array(initializer).copy())
            if initializer.name.endswith(".transposed"):
                state[initializer.name.removesuffix(".transposed")] = value.T.contiguous()
            else:
                state[initializer.name] = value
    model = LlavaForConditionalGeneration(LlavaConfig(**json.loads((folder / "config.json").read_text())))
    wanted = model.state_dict()
    state = {name: value for name, value in state.items() if name in wanted}
    # The last norm of the tower comes after the layer that LLaVA reads; no export holds it.
    unused = {name for name in wanted if "post_layernorm" in name or name.endswith("position_ids")}
    missing = set(wanted) - set(state) - unused
    if missing:
        raise SystemExit(f"the exported files lack {sorted(missing)}")
    model.load_state_dict(state, strict=False)
    return model.float().eval()


class LlavaTiny:
    def __init__(self, folder=MODEL):
        self.model = load_model(folder)
        self.config = self.model.config
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.processor = CLIPImageProcessor(**{
            key: value for key, value in json.loads((folder / "preprocessor_config.json").read_text()).items()
            if key not in ("image_processor_type", "processor_class")
        })
        self.image = self.config.image_token_index
        self.pad = self.tokenizer.token_to_id("<pad>")
        self.end = self.tokenizer.token_to_id("</s>")

    def prompt(self, question):
        return f"USER: <image>\n{question} ASSISTANT:"

    def encode(self, question):
        """-> ids of the prompt with 64 image tokens, positions of the question's tokens in it."""
        encoding = self.tokenizer.encode(self.prompt(question))
        start = self.prompt(question).index(question)
        asked = [start <= a and b <= start + len(question) and b > a for a, b in encoding.offsets]
        ids, positions = [], []
        for token, question_token in zip(encoding.ids, asked):
            if question_token:
                positions.append(len(ids))
            ids += [token] * self.config.image_seq_length if token == self.image else [token]
        return ids, positions

    def answer_ids(self, answer):
        return self.tokenizer.encode(f"<image> {answer}", add_special_tokens=False).ids[1:] + [self.end]

    def blurred(self, pixels):
        image = Image.fromarray(pixels)
        return np.asarray(image.filter(ImageFilter.GaussianBlur(BLUR * max(image.size))))

    def pixel_values(self, pixels):
        return self.processor(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]

    def masked_image(self, pixels, present):
        """present [64] of 0/1: an absent cell shows the blurred image."""
        side = int(len(present) ** 0.5)
        grid = np.asarray(present, bool).reshape(side, side)
        grid = grid.repeat(pixels.shape[0] // side, 0).repeat(pixels.shape[1] // side, 1)
        return np.where(grid[:, :, None], pixels, self.blurred(pixels))

    def log_probabilities(self, pixels, question, answer, image_present, text_present, masking):
        """Log-probability of every answer token (the end included) given the masked prompt and the answer before it."""
        ids, positions = self.encode(question)
        answer_ids = self.answer_ids(answer)
        attended = [1] * (len(ids) + len(answer_ids))
        for position, present in zip(positions, text_present):
            if not present:
                ids[position] = self.pad
                if masking == "remove":
                    attended[position] = 0
        with torch.no_grad():
            logits = self.model(
                input_ids=torch.tensor([ids + answer_ids]),
                pixel_values=self.pixel_values(self.masked_image(pixels, image_present)),
                attention_mask=torch.tensor([attended]),
                position_ids=torch.arange(len(attended))[None],
            ).logits[0]
        rows = logits[len(ids) - 1 : -1].log_softmax(-1)
        return [rows[i, token].item() for i, token in enumerate(answer_ids)]
