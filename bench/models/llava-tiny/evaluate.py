"""Measures a checkpoint on held-out samples: accuracy, and what it believes when inputs are taken away.

    node dist/bench/models/write-samples.js --size 2400 --groundings grounded,text-prior,image-prior --out DATA
    python bench/models/llava-tiny/evaluate.py DATA [--checkpoint FOLDER] [--json FILE]

A table by family and grounding: accuracy; mean probability of the right answer on the full input (I,T), on the blurred
image (B,T), on padded words (I,P) and on neither (B,P); mean probability mass on the answers of the family.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import LlavaForConditionalGeneration

from model import CELLS, HERE, IMAGE, PAD, normalise
from packed import Packer
from train import mask_cells

ANSWERS = {"presence": ["yes", "no"], "relation": ["yes", "no"], "counting": list("1234"), "choice": list("ABCD")}


class Judge:
    """A checkpoint that answers questions about masked images and masked words."""

    def __init__(self, folder):
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.packer = Packer(self.tokenizer)

    def question_ids(self, question):
        return self.packer.encode(question)

    def answer_id(self, answer):
        (token,) = self.packer.encode(" " + answer)
        return token

    def beliefs(self, pixels, hidden, words, gone, attend=False):
        """Log-probabilities of the first answer token [n, vocabulary].

        pixels [64, 64, 3]; hidden [n, 64] image cells replaced by the blurred image; words: ids of the question;
        gone [n, len(words)] question tokens replaced by <pad> and, unless `attend`, taken out of attention.
        """
        states, index = np.unique(hidden, axis=0, return_inverse=True)
        with torch.no_grad():
            images = normalise(np.stack([mask_cells(pixels, state) for state in states]))
            tower = self.model.model.vision_tower(images, output_hidden_states=True).hidden_states[-1][:, 1:]
            features = self.model.model.multi_modal_projector(tower)[torch.from_numpy(index.reshape(-1))]
            ids = np.array([
                self.packer.prefix + [PAD if g else w for w, g in zip(words, row)] + self.packer.tail for row in gone
            ])
            start = len(self.packer.prefix)
            mask = np.ones_like(ids)
            if not attend:
                mask[:, start : start + len(words)] = ~gone
            ids = torch.from_numpy(ids)
            embeds = self.model.get_input_embeddings()(ids).masked_scatter((ids == IMAGE)[..., None], features)
            states = self.model.model.language_model(
                inputs_embeds=embeds, attention_mask=torch.from_numpy(mask),
                position_ids=torch.arange(ids.shape[1])[None].expand(len(gone), -1), use_cache=False,
            ).last_hidden_state
            return self.model.lm_head(states[:, -1]).log_softmax(-1).numpy().astype(np.float64)


def load(folder):
    folder = Path(folder)
    for line in (folder / "samples.jsonl").read_text().splitlines():
        sample = json.loads(line)
        yield sample, np.asarray(Image.open(folder / sample["image"]).convert("RGB"))


def evaluate(judge, data):
    rows = defaultdict(list)
    for sample, pixels in load(data):
        words = judge.question_ids(sample["question"])
        hidden = np.zeros((4, CELLS), bool)
        hidden[[1, 3]] = True
        gone = np.zeros((4, len(words)), bool)
        gone[[2, 3]] = True
        beliefs = np.exp(judge.beliefs(pixels, hidden, words, gone))
        target = judge.answer_id(sample["answer"])
        answers = [judge.answer_id(a) for a in ANSWERS[sample["family"]]]
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
    parser.add_argument("data")
    parser.add_argument("--checkpoint", default=str(HERE / "work" / "checkpoint"))
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = evaluate(Judge(arguments.checkpoint), arguments.data)
    for name, row in result.items():
        print(f"{name:24}", " ".join(f"{key} {value}" for key, value in row.items()))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
