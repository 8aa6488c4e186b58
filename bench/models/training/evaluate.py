"""Measures a checkpoint on held-out samples: accuracy, and what it believes when inputs are taken away.

    node dist/bench/models/training/write-samples.js --size 2400 --groundings grounded,text-prior,image-prior --out DATA
    python bench/models/training/evaluate.py llava-tiny DATA [--checkpoint FOLDER] [--json FILE]

A table by family and grounding: accuracy; mean probability of the right answer on the full input (I,T), on the blurred
image (B,T), on padded words (I,P) and on neither (B,P); mean probability mass on the answers of the family.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from families import FAMILIES
from judge import Judge, load
from stream import CELLS

ANSWERS = {"presence": ["yes", "no"], "relation": ["yes", "no"], "counting": list("1234"), "choice": list("ABCD")}


def evaluate(judge, data):
    rows = defaultdict(list)
    for sample, pixels in load(data):
        words = judge.prompts.question(sample["question"])
        hidden = np.zeros((4, CELLS), bool)
        hidden[[1, 3]] = True
        gone = np.zeros((4, len(words)), bool)
        gone[[2, 3]] = True
        beliefs = np.exp(judge.beliefs(pixels, hidden, words, gone))
        target = judge.prompts.answer(sample["answer"])
        answers = [judge.prompts.answer(a) for a in ANSWERS[sample["family"]]]
        rows[sample["family"], sample["grounding"]].append(
            [beliefs[0].argmax() == target, *beliefs[:, target], beliefs[0, answers].sum(), beliefs[1, answers].sum()]
        )
    names = ["accuracy", "p(I,T)", "p(B,T)", "p(I,P)", "p(B,P)", "mass(I,T)", "mass(B,T)"]
    return {
        f"{family} {grounding}": {"samples": len(values), **dict(zip(names, np.mean(values, 0).round(4).tolist()))}
        for (family, grounding), values in sorted(rows.items())
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=sorted(FAMILIES))
    parser.add_argument("data")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = evaluate(Judge(arguments.model, arguments.checkpoint), arguments.data)
    for name, row in result.items():
        print(f"{name:24}", " ".join(f"{key} {value}" for key, value in row.items()))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
