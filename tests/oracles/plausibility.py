"""Plausibility of random maps, computed from the definitions with numpy only.

Otsu's threshold is searched as the cut with the least variance inside the parts (the project maximises the variance
between them), over integer scores of 0..255, where the 8-bit histogram of the paper's code loses nothing.

    python tests/oracles/plausibility.py > tests/golden/plausibility.json
"""

import json

import numpy as np


def otsu(scores):
    best, threshold = np.inf, scores.max()
    for cut in range(scores.min(), scores.max()):
        low, high = scores[scores <= cut], scores[scores > cut]
        within = low.size * low.var() + high.size * high.var()
        if within < best - 1e-9:
            best, threshold = within, cut
    return threshold


def measure(scores, marked):
    inside = marked == 1
    positive = np.maximum(scores, 0)
    constant = scores.min() == scores.max()
    named = np.zeros_like(inside) if constant else scores > otsu(scores)
    return {
        "pointing": int(not constant and inside[scores == scores.max()].any()),
        "energy": float(positive[inside].sum() / positive.sum()) if positive.sum() > 0 else 0.0,
        "iou": float((named & inside).sum() / (named | inside).sum()),
    }


def main():
    rng = np.random.default_rng(7)
    cases = []
    for number in range(24):
        players = [5, 9, 64, 144][number % 4]
        spread = [256, 4, 2, 1][number // 4 % 4]
        scores = rng.integers(0, spread, players) - (spread // 2 if number % 3 == 0 else 0)
        marked = (rng.random(players) < 0.3).astype(int)
        marked[rng.integers(players)] = 1
        cases.append({"scores": scores.tolist(), "marked": marked.tolist(), **measure(scores, marked)})
    print(json.dumps(cases))


if __name__ == "__main__":
    main()
