"""A trained model that answers questions about masked images and masked words."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from families import FAMILIES
from packed import Prompts, forward
from stream import HERE, normalise
from train import load as load_checkpoint
from train import mask_cells


class Judge:
    def __init__(self, name, folder=None):
        family = FAMILIES[name]
        self.family = family
        self.model, tokenizer, _, _ = load_checkpoint(folder or HERE / "work" / name, family)
        self.model.eval()
        self.prompts = Prompts(family, tokenizer)

    def beliefs(self, pixels, hidden, words, gone, attend=False):
        """Log-probabilities of the first answer token [n, vocabulary].

        pixels [64, 64, 3]; hidden [n, 64] image cells replaced by the blurred image; words: ids of the question;
        gone [n, len(words)] question tokens replaced by the pad token and, unless `attend`, taken out of attention.
        """
        states, index = np.unique(hidden, axis=0, return_inverse=True)
        head, tail = self.prompts.head, self.prompts.tail
        with torch.no_grad():
            images = normalise(np.stack([mask_cells(pixels, state) for state in states]))
            features = self.family.features(self.model, images)[torch.from_numpy(index.reshape(-1))]
            ids = np.array([[*head, *[self.prompts.pad if g else w for w, g in zip(words, row)], *tail] for row in gone])
            keys = np.ones_like(ids)
            if not attend:
                keys[:, len(head) : len(head) + len(words)] = ~gone
            return forward(self.model, features, self.prompts, ids, keys)[:, -1].log_softmax(-1).numpy().astype(np.float64)


def load(folder):
    folder = Path(folder)
    for line in (folder / "samples.jsonl").read_text().splitlines():
        sample = json.loads(line)
        yield sample, np.asarray(Image.open(folder / sample["image"]).convert("RGB"))
