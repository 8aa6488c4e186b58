"""The embedded models as Hugging Face classes in PyTorch, their weights read from the initializers of the exported files.

Independent of ONNX Runtime and of the project's own code: pixels come from the Hugging Face image processors, prompts from
the chat templates, and the forward pass is that of the class.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from PIL import Image, ImageFilter
from transformers import (
    CLIPImageProcessor, InternVLConfig, InternVLForConditionalGeneration, LlavaConfig, LlavaForConditionalGeneration,
    PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "bench" / "models"
BLUR = 0.25
CLASSES = {
    "llava": (LlavaConfig, LlavaForConditionalGeneration, CLIPImageProcessor),
    "qwen2_5_vl": (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessorPil),
    "internvl": (InternVLConfig, InternVLForConditionalGeneration, GotOcr2ImageProcessorPil),
}


def read_json(path):
    return json.loads(path.read_text())


def load_model(folder, config_class, model_class):
    state = {}
    for name in ("vision_encoder", "embed_tokens", "decoder_model_merged"):
        for initializer in onnx.load(folder / "onnx" / f"{name}.onnx").graph.initializer:
            value = torch.from_numpy(numpy_helper.to_array(initializer).copy())
            if initializer.name.endswith(".transposed"):
                state[initializer.name.removesuffix(".transposed")] = value.T.contiguous()
            else:
                state[initializer.name] = value
    model = model_class(config_class(**read_json(folder / "config.json")))
    wanted = model.state_dict()
    state = {name: value.reshape(wanted[name].shape) for name, value in state.items() if name in wanted}
    # The last norm of the CLIP tower comes after the layer that LLaVA reads; no export holds it.
    unused = {name for name in wanted if "post_layernorm" in name or name.endswith("position_ids")}
    missing = set(wanted) - set(state) - unused
    if missing:
        raise SystemExit(f"the exported files lack {sorted(missing)}")
    model.load_state_dict(state, strict=False)
    return model.float().eval()


def in_float64(model):
    """The same weights in float64; the classes' norms would go through float32 whatever the type."""
    for module in model.double().modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(rms_norm, module.weight, module.variance_epsilon)
    return model


def rms_norm(weight, epsilon, x):
    return weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon))


class Embedded:
    """An embedded model, evaluated in float64 or as it ships, in float32."""

    def __init__(self, name, float64=True, folder=None):
        folder = folder or MODELS / name / "model"
        config = read_json(folder / "config.json")
        self.kind = config["model_type"]
        config_class, model_class, processor_class = CLASSES[self.kind]
        self.model = load_model(folder, config_class, model_class)
        self.float64 = float64
        if float64:
            in_float64(self.model)
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        processor = read_json(folder / "preprocessor_config.json")
        for key in ("image_processor_type", "processor_class"):
            processor.pop(key, None)
        self.processor = processor_class(**processor)
        self.image = self.model.config.image_token_id

    def prompt(self, question):
        content = [{"type": "image"}, {"type": "text", "text": question}]
        return self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )

    def encode(self, question):
        """-> ids of the prompt with 64 image tokens, positions of the question's tokens in it."""
        prompt = self.prompt(question)
        if self.kind == "internvl":
            prompt = prompt.replace("<IMG_CONTEXT>", "<img><IMG_CONTEXT></img>")
        encoding = self.tokenizer(prompt, return_offsets_mapping=True)
        start = prompt.index(question)
        ids, positions = [], []
        for token, (a, b) in zip(encoding["input_ids"], encoding["offset_mapping"]):
            if start <= a and b <= start + len(question) and b > a:
                positions.append(len(ids))
            ids += [token] * 64 if token == self.image else [token]
        return ids, positions

    def answer_ids(self, question, answer):
        before = self.tokenizer(self.prompt(question))["input_ids"]
        space = " " if self.kind == "llava" else ""
        whole = self.tokenizer(self.prompt(question) + space + answer)["input_ids"]
        assert whole[: len(before)] == before
        return [*whole[len(before) :], self.tokenizer.eos_token_id]

    def blurred(self, pixels):
        image = Image.fromarray(pixels)
        return np.asarray(image.filter(ImageFilter.GaussianBlur(BLUR * max(image.size))))

    def masked_image(self, pixels, present):
        """present [64] of 0/1: an absent cell shows the blurred image."""
        side = int(len(present) ** 0.5)
        grid = np.asarray(present, bool).reshape(side, side)
        grid = grid.repeat(pixels.shape[0] // side, 0).repeat(pixels.shape[1] // side, 1)
        return np.where(grid[:, :, None], pixels, self.blurred(pixels))

    def vision_inputs(self, pixels):
        inputs = dict(self.processor(Image.fromarray(pixels), return_tensors="pt"))
        inputs.pop("num_patches", None)
        if self.float64:
            inputs["pixel_values"] = inputs["pixel_values"].double()
        return inputs

    def positions(self, ids, inputs):
        if self.kind != "qwen2_5_vl":
            return torch.arange(ids.shape[1])[None]
        types = (ids == self.image).int()
        return self.model.model.get_rope_index(ids, types, image_grid_thw=inputs["image_grid_thw"])[0]

    def log_probabilities(self, pixels, question, answer, image_present, text_present, masking):
        """Log-probability of every answer token (the end included) given the masked prompt and the answer before it."""
        ids, positions = self.encode(question)
        answer_ids = self.answer_ids(question, answer)
        attended = [1] * (len(ids) + len(answer_ids))
        for position, present in zip(positions, text_present):
            if not present:
                ids[position] = self.tokenizer.pad_token_id
                if masking == "remove":
                    attended[position] = 0
        tokens = torch.tensor([ids + answer_ids])
        inputs = self.vision_inputs(self.masked_image(pixels, image_present))
        places = self.positions(tokens, inputs)
        if self.kind == "qwen2_5_vl":
            inputs["mm_token_type_ids"] = (tokens == self.image).int()
        with torch.no_grad():
            logits = self.model(
                input_ids=tokens, attention_mask=torch.tensor([attended]), position_ids=places, **inputs
            ).logits[0]
        rows = logits[len(ids) - 1 : -1].log_softmax(-1)
        return [rows[i, token].item() for i, token in enumerate(answer_ids)]
