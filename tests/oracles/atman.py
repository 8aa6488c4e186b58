"""Makes tests/golden/atman.json: AtMan on an embedded model, by Hugging Face's classes in float64.

A player's tokens are taken out of attention one player at a time, embeddings and positions kept; its relevance is the growth
of the cross-entropy of the answer's first token.

    python tests/oracles/atman.py
"""

import json

import numpy as np
import torch
from PIL import Image

from embedded_models import ROOT, Embedded

FOLDER = ROOT / "tests" / "golden" / "embedded"


def main():
    golden = json.loads((FOLDER / "llava-tiny.json").read_text())["samples"][0]
    pixels = np.asarray(Image.open(FOLDER / golden["image"]).convert("RGB"))
    model = Embedded("llava-tiny")
    ids, words = model.encode(golden["question"])
    answer = model.answer_ids(golden["question"], golden["answer"])[0]
    tokens, inputs = torch.tensor([ids]), model.vision_inputs(pixels)

    def loss(hidden):
        mask = torch.ones_like(tokens)
        mask[0, hidden] = 0
        with torch.no_grad():
            logits = model.model(
                input_ids=tokens, attention_mask=mask, position_ids=torch.arange(len(ids))[None], **inputs
            ).logits[0, -1]
        return -logits.log_softmax(-1)[answer].item()

    full = loss([])
    image = [loss([position]) - full for position, token in enumerate(ids) if token == model.image]
    text = [loss([position]) - full for position in words]
    result = {"image": golden["image"], "question": golden["question"], "answer": golden["answer"], "scores": {"image": image, "text": text}}
    (ROOT / "tests" / "golden" / "atman.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
