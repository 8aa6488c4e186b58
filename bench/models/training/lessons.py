"""What the decoder is taught beside the answer: heads on its middle layers that exist in training only.

A yes or a letter at the end of a question says little about what went wrong on the way to it. Before the last two
layers, a linear head says at every noun of a question what the words so far point to: how many cells match, and of a
single one its colour, shape, row and column; and at a second noun, on which sides of it the first one lies. From the last
word of the question, the last but one already says the answer.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from stream import COLOURS, GRID, SHAPES

# Number matching (0..4), colour, shape, row, column, first noun above/beside/below the second, left/in line/right of it.
TARGETS = [5, len(COLOURS), len(SHAPES), GRID, GRID, 3, 3]
NONE = -100
# Large groups are rare.
COUNT_WEIGHTS = torch.tensor([1.0, 1.0, 3.0, 6.0, 6.0])
# The heads read what enters these layers, the early answer what enters the last.
LAYERS = (-2, -1)


class Lessons(nn.Module):
    def __init__(self, width, prompts):
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(width, sum(TARGETS)) for _ in LAYERS])
        self.prompts = prompts
        self.colours = {prompts.word(word): i for i, word in enumerate(COLOURS)}
        self.shapes = {prompts.word(word): i for i, word in enumerate(SHAPES)}
        self.stop = prompts.question("x y?")[-1]

    def labels(self, words, classes):
        """[(index of a word, targets)] of a question about a scene."""
        cells = np.nonzero((classes >= 1) & (classes <= len(COLOURS) * len(SHAPES)))[0]
        colour, shape = np.divmod(classes[cells] - 1, len(SHAPES))
        result, said, first = [], None, None
        for index, word in enumerate(words):
            if word == self.stop:
                break
            if word in self.colours:
                said = self.colours[word]
                match = colour == said
            elif word in self.shapes:
                match = shape == self.shapes[word]
                if said is not None:
                    match &= colour == said
                said = None
            else:
                said = None
                continue
            targets = [min(int(match.sum()), 4)] + [NONE] * (len(TARGETS) - 1)
            if match.sum() == 1:
                one = int(match.argmax())
                row, column = divmod(int(cells[one]), GRID)
                targets[1:5] = [colour[one], shape[one], row, column]
                if word in self.shapes:
                    if first is not None:
                        targets[5:] = [np.sign(first[0] - row) + 1, np.sign(first[1] - column) + 1]
                    first = row, column
            result.append((index, targets))
        return result

    def loss(self, result, groups, scenes, whole, model):
        """Of one pass. `scenes`: classes of the cells; `whole`: whether nothing of a scene is hidden.

        -> loss of the heads, loss of the early answer, hits of the last head by target
        """
        rows, targets, ends = self._places(groups, scenes, whole)
        early = model.lm_head(model.model.language_model.norm(result.entering[LAYERS[-1]][ends]))
        early = F.cross_entropy(early.float(), torch.cat([g.targets for g in groups]))
        total, hits = torch.zeros(()), np.full(len(TARGETS), np.nan)
        if len(rows) == 0:
            return total, early, hits
        for layer, head in zip(LAYERS, self.heads):
            for i, said in enumerate(head(result.normed[layer][rows].float()).split(TARGETS, -1)):
                known = targets[:, i] != NONE
                if known.any():
                    total = total + F.cross_entropy(
                        said[known], targets[known, i], weight=COUNT_WEIGHTS if i == 0 else None
                    )
                    hits[i] = (said.argmax(-1) == targets[:, i])[known].float().mean().item()
        return total, early, hits

    def _places(self, groups, scenes, whole):
        """Rows of the concatenated states where nouns stand, their targets, and rows where questions end."""
        rows, targets, ends = [], [], []
        offset = len(scenes) * len(self.prompts.head)
        tail = len(self.prompts.tail) + 1
        for group in groups:
            _, count, length = group.ids.shape
            ids = group.ids.numpy()
            for s, t, _, gone in group.infos:
                row = offset + (s * count + t) * length
                start = length - int(group.sizes[s, t])
                ends.append(row + length - tail - 1)
                if gone == 0 and whole[s]:
                    for index, wanted in self.labels(ids[s, t, start : length - tail].tolist(), scenes[s]):
                        rows.append(row + start + index)
                        targets.append(wanted)
            offset += group.ids.numel()
        return torch.tensor(rows, dtype=torch.long), torch.tensor(targets, dtype=torch.long), torch.tensor(ends)
