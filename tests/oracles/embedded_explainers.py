"""Makes tests/golden/embedded-explanations.json: Rollout, Integrated Gradients and AttnLRP of the embedded LLaVA by PyTorch
in float64, on the samples of tests/golden/embedded: what somebody with an explainer in PyTorch would import.

Usage: python tests/oracles/embedded_explainers.py
"""
import json

import numpy as np
import torch
from PIL import Image

from embedded_cells import FOLDER
from embedded_models import Embedded
from onnx_explainers import decoder_R, rollout, vision_R

STEPS, GRID, PATCH = 8, 8, 8


def per_patch(t):
    return t.sum(0).reshape(GRID, PATCH, GRID, PATCH).sum((1, 3)).reshape(-1)


class Sample:
    def __init__(self, embedded, record):
        self.m = embedded.model
        pixels = np.asarray(Image.open(FOLDER / record["image"]).convert("RGB"))
        self.pixels = embedded.vision_inputs(pixels)["pixel_values"]
        self.absent = embedded.vision_inputs(embedded.blurred(pixels))["pixel_values"]
        self.ids = torch.tensor([record["promptIds"]])
        self.where = (self.ids[0] == embedded.image).nonzero()[:, 0]
        self.words = torch.tensor(record["questionPositions"])
        self.target = record["answerIds"][0]
        table = self.m.get_input_embeddings().weight.detach()
        self.text = table[self.ids]
        self.no_text = self.text.clone()
        self.no_text[0, self.words] = table[embedded.tokenizer.pad_token_id]
        assert int(self.logits(self.pixels, self.text).argmax()) == self.target, "the model answers something else"

    def features(self, pixels):
        out = self.m.model.vision_tower(pixels, output_hidden_states=True)
        return self.m.model.multi_modal_projector(out.hidden_states[self.m.config.vision_feature_layer][:, 1:])

    def logits(self, pixels, text, attentions=False):
        merged = text.clone()
        merged[0, self.where] = self.features(pixels)[0]
        places = torch.arange(merged.shape[1])[None]
        out = self.m.model.language_model(
            inputs_embeds=merged, attention_mask=torch.ones_like(places), position_ids=places, output_attentions=attentions
        )
        logits = self.m.lm_head(out.last_hidden_state)[0, -1]
        return (logits, out.attentions) if attentions else logits

    def rollout(self):
        with torch.no_grad():
            maps = self.logits(self.pixels, self.text, True)[1]
            seen = self.m.model.vision_tower(self.pixels, output_attentions=True).attentions
        image, text = rollout([a[0].mean(0) for a in maps], [a[0].mean(0) for a in seen], self.where, self.words, True)
        return image, text

    def gradients(self, pixels, text):
        pixels, text = (t.detach().requires_grad_(True) for t in (pixels, text))
        self.logits(pixels, text)[self.target].backward()
        return pixels.grad, text.grad

    def integrated_gradients(self):
        """One modality at a time; the words' steps are even in the fourth root of their place on the path."""
        image = words = 0
        for s in range(STEPS):
            seen = self.absent + (s + 0.5) / STEPS * (self.pixels - self.absent)
            image = image + self.gradients(seen, self.text)[0] / STEPS
            t, width = ((s + 0.5) / STEPS) ** 4, ((s + 1) / STEPS) ** 4 - (s / STEPS) ** 4
            words = words + self.gradients(self.pixels, self.no_text + t * (self.text - self.no_text))[1] * width
        image, words = image * (self.pixels - self.absent), words * (self.text - self.no_text)
        return per_patch(image[0]), words[0].sum(-1)[self.words]

    def attnlrp(self):
        """Explicit relevance, a rule per operation, without autograd."""
        with torch.no_grad():
            x = self.text[0].clone()
            x[self.where] = self.features(self.pixels)[0]
            R = decoder_R(self.m, x, self.target)
            return per_patch(vision_R(self.m, self.pixels, R[self.where])), R.sum(-1)[self.words]


def main():
    embedded = Embedded("llava-tiny")
    embedded.model.set_attn_implementation("eager")
    records = json.loads((FOLDER / "llava-tiny.json").read_text())["samples"]
    result = {"rollout": {}, "integrated-gradients": {}, "attn-lrp": {}}
    for record in records:
        sample = Sample(embedded, record)
        for name, method in (("rollout", "rollout"), ("integrated-gradients", "integrated_gradients"), ("attn-lrp", "attnlrp")):
            image, text = getattr(sample, method)()
            short = lambda values: [float(f"{value:.10g}") for value in values.detach().tolist()]
            result[name][record["id"]] = {"image": short(image), "text": short(text)}
    (FOLDER.parent / "embedded-explanations.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
