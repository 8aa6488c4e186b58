"""Makes tests/golden/served-llava-tiny.json: F_syn of the game in which absent words are deleted, by PyTorch in float64.

    python tests/oracles/served_cells.py

Absent image players show the blurred picture; absent words of the question are deleted and gaps closed, and where none is
left a point stands for them. Cells, curves and areas are written out anew here from the formulas of arXiv 2605.22168.
"""

import json

import numpy as np
import torch
from PIL import Image

from embedded_models import BLUR, ROOT, Embedded

SAMPLES = ("test-2026-presence-grounded-0", "test-2026-relation-grounded-0")
STEPS = np.linspace(0, 1, 11)


class Game:
    def __init__(self, model, pixels, question, answer):
        self.model, self.pixels, self.words = model, pixels, question.split()
        self.target = model.answer_ids(question, answer)[0]
        self.known = {}

    def value(self, image, words):
        """Probability of the answer's first token with these players present."""
        key = (tuple(image), tuple(words))
        if key not in self.known:
            kept = [word for word, present in zip(self.words, words) if present]
            ids, _ = self.model.encode(" ".join(kept) or ".")
            inputs = self.model.vision_inputs(self.model.masked_image(self.pixels, image))
            with torch.no_grad():
                logits = self.model.model(input_ids=torch.tensor([ids]), **inputs).logits[0, -1]
            self.known[key] = logits.log_softmax(-1)[self.target].exp().item()
        return self.known[key]


def states(scores):
    """-> presence at every step when the top scores are inserted, and when they are deleted; ties to the lower index."""
    order = np.argsort(-scores, kind="stable")
    counts = np.round(STEPS * len(scores)).astype(int)  # half to even
    inserted = [np.isin(np.arange(len(scores)), order[:count]).astype(int) for count in counts]
    return inserted, [1 - state for state in inserted]


def measure(game, image, text):
    (image_in, image_out), (text_in, text_out) = states(image), states(text)
    full_i, full_t, none_i, none_t = image_in[-1], text_in[-1], image_in[0], text_in[0]
    v = game.value
    insertion = [v(i, t) - v(i, none_t) - v(none_i, t) + v(none_i, none_t) for i, t in zip(image_in, text_in)]
    deletion = [v(i, t) - v(i, full_t) - v(full_i, t) + v(full_i, full_t) for i, t in zip(image_out, text_out)]
    area = lambda curve: float(np.trapezoid(curve, STEPS))
    gain = lambda up, down: area(up) - area(down)
    return {
        "insertion": area(insertion),
        "deletion": area(deletion),
        "mean": (area(insertion) + area(deletion)) / 2,
        "imageSrg": gain([v(i, full_t) for i in image_in], [v(i, full_t) for i in image_out]),
        "textSrg": gain([v(full_i, t) for t in text_in], [v(full_i, t) for t in text_out]),
    }


def sample_of(models, record, rng):
    pixels = np.asarray(Image.open(ROOT / "tests/golden/embedded" / record["image"]).convert("RGB"))
    double, single = (Game(model, pixels, record["question"], record["answer"]) for model in models)
    attributions = []
    for _ in range(2):
        image, text = rng.permutation(64).astype(float), rng.permutation(len(double.words)).astype(float)
        wanted, rough = measure(double, image, text), measure(single, image, text)
        spread = max(abs(wanted[name] - rough[name]) for name in wanted)
        attributions.append({"image": image.tolist(), "text": text.tolist(), **wanted, "float32Spread": spread})
    return {
        **{key: record[key] for key in ("id", "image", "question", "answer")},
        "distinctCells": len(double.known),
        "attributions": attributions,
    }


def main():
    records = json.loads((ROOT / "tests/golden/embedded/llava-tiny.json").read_text())["samples"]
    models, rng = [Embedded("llava-tiny", float64) for float64 in (True, False)], np.random.default_rng(11)
    samples = [sample_of(models, record, rng) for record in records if record["id"] in SAMPLES]
    path = ROOT / "tests/golden/served-llava-tiny.json"
    path.write_text(json.dumps({"model": "llava-tiny", "blurRadiusRelative": BLUR, "samples": samples}) + "\n")
    print(json.dumps([{**a, "image": 0, "text": 0} for s in samples for a in s["attributions"]], indent=1))


if __name__ == "__main__":
    main()
