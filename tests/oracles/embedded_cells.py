"""Makes tests/golden/embedded/: scores of the embedded models on masked cells, evaluated by PyTorch in float64.

    node dist/bench/models/training/write-samples.js --size 8 --seed 2026 --out DATA
    python tests/oracles/embedded_cells.py DATA

Every cell is (image state, text state), presence as a string of 0 and 1 per player. `remove`: an absent token becomes
<pad> and leaves attention, positions kept; `attend`: it becomes <pad> and stays attended.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from embedded_models import BLUR, MODELS, ROOT, Embedded

FOLDER = ROOT / "tests" / "golden" / "embedded"
# One sample of every family of questions.
SAMPLES = 4
RANDOM_CELLS = 10


def bits(present):
    return "".join("1" if p else "0" for p in present)


def cells_of(rng, cells, words):
    """Corners, one absent player, one present player, and random states."""
    full, none = (np.ones(cells, int), np.zeros(cells, int)), (np.ones(words, int), np.zeros(words, int))
    result = [(image, text) for image in full for text in none]
    for value in (0, 1):
        image, text = np.full(cells, 1 - value), np.full(words, 1 - value)
        image[rng.integers(cells)] = value
        text[rng.integers(words)] = value
        result += [(image, np.ones(words, int)), (np.ones(cells, int), text)]
    for _ in range(RANDOM_CELLS):
        result.append(((rng.random(cells) < rng.random()).astype(int), (rng.random(words) < rng.random()).astype(int)))
    return result


def spread_of(model, record, pixels, sample):
    """Largest difference between the golden probabilities and PyTorch's own in float32."""
    worst = 0.0
    for masking in ("remove", "attend"):
        for cell, wanted in zip(sample["cells"], sample[masking]):
            states = [np.array(list(map(int, cell[key]))) for key in ("image", "text")]
            given = model.log_probabilities(pixels, record["question"], record["answer"], *states, masking)
            worst = max(worst, np.abs(np.exp(given) - np.exp(wanted)).max())
    return worst


def golden(model, record, pixels, rng):
    question, answer = record["question"], record["answer"]
    ids, positions = model.encode(question)
    states = cells_of(rng, 64, len(positions))
    return {
        "id": record["id"],
        "image": f"{record['id']}.png",
        "question": question,
        "answer": answer,
        "choices": record.get("choices"),
        "prompt": model.prompt(question),
        "promptIds": ids,
        "questionPositions": positions,
        "answerIds": model.answer_ids(question, answer),
        "cells": [{"image": bits(image), "text": bits(text)} for image, text in states],
        **{
            masking: [model.log_probabilities(pixels, question, answer, *state, masking) for state in states]
            for masking in ("remove", "attend")
        },
    }


def main():
    data = Path(sys.argv[1])
    records = [json.loads(line) for line in (data / "samples.jsonl").read_text().splitlines()][:SAMPLES]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for record in records:
        shutil.copy(data / record["image"], FOLDER / f"{record['id']}.png")
    for folder in sorted(MODELS.glob("*/model/config.json")):
        name = folder.parent.parent.name
        model, rng = Embedded(name), np.random.default_rng(7)
        pictures = [np.asarray(Image.open(data / record["image"]).convert("RGB")) for record in records]
        samples = [golden(model, record, pixels, rng) for record, pixels in zip(records, pictures)]
        single = Embedded(name, float64=False)
        for sample, *parts in zip(samples, records, pictures):
            sample["float32Spread"] = spread_of(single, *parts, sample)
        path = FOLDER / f"{name}.json"
        path.write_text(json.dumps({"model": name, "blurRadiusRelative": BLUR, "samples": samples}, indent=1) + "\n")
        print(f"{sum(len(s['cells']) for s in samples)} cells of {len(samples)} samples in {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
