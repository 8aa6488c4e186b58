"""Makes tests/golden/twins.json: beliefs of the twins on masked cells, evaluated by PyTorch in float64.

    node dist/bench/twins/write-samples.js --seed 2026 --out DATA
    python tests/oracles/twins.py DATA
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from embedded_cells import bits, cells_of
from embedded_models import ROOT, Embedded


def main():
    data, result = Path(sys.argv[1]), {}
    for twin in ("pure", "cheat"):
        model, rng = Embedded(twin, folder=ROOT / "bench" / "twins" / twin), np.random.default_rng(11)
        result[twin] = []
        for kind in ("mark", "word", "corner"):
            record = json.loads((data / kind / "samples.jsonl").read_text().splitlines()[0])
            pixels = np.asarray(Image.open(data / kind / record["image"]).convert("RGB"))
            _, positions = model.encode(record["question"])
            cells = [
                {
                    "image": bits(image),
                    "text": bits(text),
                    "yes": model.log_probabilities(pixels, record["question"], "yes", image, text, "remove")[0],
                }
                for image, text in cells_of(rng, 64, len(positions))
            ]
            result[twin].append({"id": record["id"], "question": record["question"], "cells": cells})
    (ROOT / "tests" / "golden" / "twins.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
