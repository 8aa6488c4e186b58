"""Does F_syn see the truth on this model? Oracle, Random and Anti-Oracle attributions on samples of the suite.

    python bench/models/training/study.py llava-tiny DATA [--limit 50] [--checkpoint FOLDER]

Scores are probabilities of the right answer's token. With s = 0, .1, ..., 1 and k = round(s * players), ins keeps only the
top k players, del removes them; synergy of a step = v(ins,ins) - v(ins,none) - v(none,ins) + v(none,none), and
v(del,del) - v(del,all) - v(all,del) + v(all,all) for deletion; areas by the trapezoid rule, raw and signed. Prints their mean.
"""

import argparse
from collections import defaultdict

import numpy as np
import torch

from families import FAMILIES
from judge import Judge, load
from stream import CELL, CELLS, GRID

STEPS = np.linspace(0, 1, 11)


def truth_of(sample, offsets):
    """Binary attributions: cells that meet a box, tokens that meet a word."""
    image, text = np.zeros(CELLS), np.zeros(len(offsets))
    for x0, y0, x1, y1 in sample["truth"]["boxes"]:
        for cell in range(CELLS):
            x, y = cell % GRID * CELL, cell // GRID * CELL
            image[cell] = max(image[cell], x < x1 and x0 < x + CELL and y < y1 and y0 < y + CELL)
    for a, b in sample["truth"]["words"]:
        for i, (c, d) in enumerate(offsets):
            text[i] = max(text[i], a < d and c < b)
    return image, text


def question(judge, text):
    """-> ids of the question's tokens, their character ranges in it without leading spaces."""
    prompts = judge.prompts
    encoding = prompts.tokenizer.encode(prompts.family.head + text + prompts.family.tail)
    inside = slice(prompts.length, len(encoding.ids) - len(prompts.tail))
    shift = len(prompts.family.head)
    offsets = [(a - shift, b - shift) for a, b in encoding.offsets[inside]]
    return encoding.ids[inside], [(a + (text[a : a + 1] == " "), b) for a, b in offsets]


def curves(judge, pixels, words, target, image, text):
    """-> raw F_syn by insertion, by deletion."""
    order_image, order_text = np.argsort(-image, kind="stable"), np.argsort(-text, kind="stable")
    index, hidden, gone = {}, [], []

    def cell(image_hidden, text_gone):
        key = image_hidden.tobytes() + text_gone.tobytes()
        if key not in index:
            index[key] = len(hidden)
            hidden.append(image_hidden)
            gone.append(text_gone)
        return index[key]

    n, m = CELLS, len(words)
    full = np.zeros(n, bool), np.zeros(m, bool)
    none = ~full[0], ~full[1]
    plans = []
    for s in STEPS:
        top_image, top_text = np.zeros(n, bool), np.zeros(m, bool)
        top_image[order_image[: round(s * n)]] = True
        top_text[order_text[: round(s * m)]] = True
        ins = [cell(i, t) for i in (~top_image, none[0]) for t in (~top_text, none[1])]
        dele = [cell(i, t) for i in (top_image, full[0]) for t in (top_text, full[1])]
        plans.append((ins, dele))
    beliefs = np.exp(judge.beliefs(pixels, np.array(hidden), words, np.array(gone))[:, target])
    area = []
    for side in (0, 1):
        curve = [beliefs[c[0]] - beliefs[c[1]] - beliefs[c[2]] + beliefs[c[3]] for c in (plan[side] for plan in plans)]
        area.append(np.trapezoid(curve, STEPS))
    return area


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=sorted(FAMILIES))
    parser.add_argument("data")
    parser.add_argument("--limit", type=int, default=50, help="samples per family and grounding")
    parser.add_argument("--checkpoint")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    judge, rng = Judge(arguments.model, arguments.checkpoint), np.random.default_rng(0)
    values, count = defaultdict(list), defaultdict(int)
    for sample, pixels in load(arguments.data):
        group = (sample["grounding"], sample["family"] + (f" {sample['answer']}" if sample["family"] == "presence" else ""))
        if count[group] >= arguments.limit:
            continue
        count[group] += 1
        words, offsets = question(judge, sample["question"])
        image, text = truth_of(sample, offsets)
        target = judge.prompts.answer(sample["answer"])
        for name, attribution in {
            "oracle": (image, text),
            "random": (rng.random(CELLS), rng.random(len(words))),
            "anti": (-image, -text),
        }.items():
            values[(*group, name)].append(curves(judge, pixels, words, target, *attribution))
    for key, areas in sorted(values.items()):
        areas = np.array(areas)
        total = areas.mean(1)
        error = total.std() / len(total) ** 0.5
        print(f"{key[0]:12} {key[1]:14} {key[2]:7} n {len(total):3}  F_syn {total.mean():+.4f} +- {1.96 * error:.4f}"
              f"  insertion {areas[:, 0].mean():+.4f}  deletion {areas[:, 1].mean():+.4f}")


if __name__ == "__main__":
    main()
