"""Makes tests/golden/picture-fit.json: how much of a map's order a picture explains, by numpy's least squares.

The definition is that of lib/runner/picture-fit.ts, without its sampling of large pictures and its orthogonalisation.
Usage: python tests/oracles/picture_fit.py
"""
import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import rankdata

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def features(pixels, rows, columns):
    height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
    cells = pixels.reshape(rows, height, columns, width, 3).swapaxes(1, 2).reshape(rows * columns, -1, 3)
    everything = pixels.reshape(-1, 3)
    mean = cells.mean(1)
    contrast = np.sqrt(((cells - mean[:, None]) ** 2).sum(-1).mean(1))
    middle = np.sort(everything, 0)[len(everything) // 2]
    far = np.linalg.norm(cells - middle, axis=-1).mean(1)
    found = [*mean.T, contrast, np.linalg.norm(mean - everything.mean(0), axis=-1), far]
    return np.round(found, 6)


def explained(scores, columns):
    y = rankdata(scores) - (len(scores) + 1) / 2
    x = np.stack([rankdata(c) for c in columns], 1) - (len(scores) + 1) / 2
    return 1 - ((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2).sum() / (y**2).sum()


def main():
    cases = []
    for path in sorted((GOLDEN / "embedded").glob("*.png")):
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(float)
        for rows, columns in ((8, 8), (4, 16), (16, 8)):
            scores = np.sin(12.9898 * np.arange(rows * columns)) + (np.arange(rows * columns) % 5 == 0)
            by_columns = scores.reshape(columns, rows).T.ravel()
            found = features(pixels, rows, columns)
            cases.append({"picture": path.name, "rows": rows, "columns": columns, "scores": scores.tolist(),
                          "declared": explained(scores, found), "transposed": explained(by_columns, found)})
    (GOLDEN / "picture-fit.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
