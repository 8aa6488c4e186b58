"""Makes tests/golden/llava-tiny-cells.json and its images: scores of llava-tiny on cells, evaluated by PyTorch.

    node dist/bench/models/write-samples.js --size 8 --seed 2026 --families presence --out DATA
    python tests/oracles/llava_tiny_cells.py DATA

Every cell is (image state, text state), presence as a string of 0 and 1 per player. `remove`: an absent token becomes
<pad> and leaves attention, positions kept; `attend`: it becomes <pad> and stays attended.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from llava_tiny import ROOT, LlavaTiny

FOLDER = ROOT / "tests" / "golden" / "llava-tiny"
SAMPLES = 3
RANDOM_CELLS = 14


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


def golden(model, record, pixels, rng):
    question, answer = record["question"], record["answer"]
    ids, positions = model.encode(question)
    states = cells_of(rng, model.config.image_seq_length, len(positions))
    values = model.pixel_values(pixels)[0].numpy()
    return {
        "id": record["id"],
        "image": f"llava-tiny/{record['id']}.png",
        "blurred": f"llava-tiny/{record['id']}-blurred.png",
        "question": question,
        "answer": answer,
        "choices": record.get("choices"),
        "prompt": model.prompt(question),
        "promptIds": ids,
        "questionPositions": positions,
        "answerIds": model.answer_ids(answer),
        "pixelValues": {
            "shape": list(values.shape),
            "channelSums": values.astype(np.float64).sum((1, 2)).tolist(),
            "channelSquares": np.square(values.astype(np.float64)).sum((1, 2)).tolist(),
            "firstRow": values[0, 0, :8].tolist(),
            "pixelsSha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        },
        "cells": [{"image": bits(image), "text": bits(text)} for image, text in states],
        **{
            masking: [model.log_probabilities(pixels, question, answer, *state, masking) for state in states]
            for masking in ("remove", "attend")
        },
    }


def main():
    data = Path(sys.argv[1])
    records = [json.loads(line) for line in (data / "samples.jsonl").read_text().splitlines()]
    chosen = records[:SAMPLES]
    model, rng = LlavaTiny(), np.random.default_rng(7)
    FOLDER.mkdir(parents=True, exist_ok=True)
    samples = []
    for record in chosen:
        pixels = np.asarray(Image.open(data / record["image"]).convert("RGB"))
        shutil.copy(data / record["image"], FOLDER / f"{record['id']}.png")
        Image.fromarray(model.blurred(pixels)).save(FOLDER / f"{record['id']}-blurred.png", optimize=True)
        samples.append(golden(model, record, pixels, rng))
    result = {"model": "llava-tiny", "blurRadiusRelative": 0.25, "blurRadiusPixels": 16, "samples": samples}
    path = FOLDER.parent / "llava-tiny-cells.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{sum(len(s['cells']) for s in samples)} cells of {len(samples)} samples in {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
