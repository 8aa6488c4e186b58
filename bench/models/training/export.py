"""Exports a checkpoint to its model directory and checks that the files compute what the checkpoint does.

    python bench/models/training/export.py llava-tiny [--checkpoint FOLDER] [--out FOLDER]
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from families import FAMILIES
from judge import Judge
from packed import forward
from stream import CELLS, HERE, normalise, scenes


class Exported:
    """The exported files, run by ONNX Runtime."""

    def __init__(self, folder):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.vision, self.embed, self.decoder = (
            onnxruntime.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
            for name in ("vision_encoder", "embed_tokens", "decoder_model_merged")
        )
        self.past = [i for i in self.decoder.get_inputs() if i.name.startswith("past")]

    def features(self, family, pixel_values):
        return np.concatenate([self.vision.run(None, feeds)[0].reshape(-1, CELLS, family.width) for feeds in family.feeds(pixel_values)])

    def embeds(self, ids, features):
        (embeds,) = self.embed.run(None, {"input_ids": np.maximum(ids, 0)})
        embeds[ids < 0] = features.reshape(-1, features.shape[-1])
        return embeds

    def decode(self, embeds, mask, positions, past=None):
        """-> logits, presents"""
        batch = embeds.shape[0]
        if past is None:
            past = [np.zeros((batch, i.shape[1], 0, i.shape[3]), np.float32) for i in self.past]
        positions = np.ascontiguousarray(np.broadcast_to(positions[:, None], (len(positions), batch, positions.shape[1])))
        feeds = {"inputs_embeds": embeds, "attention_mask": mask, "position_ids": positions if len(positions) == 3 else positions[0]}
        feeds |= {i.name: value for i, value in zip(self.past, past)}
        logits, *presents = self.decoder.run(None, feeds)
        return logits, presents


def verify(judge, folder):
    """Largest differences of logits on scenes of the suite: against PyTorch, of removal against masking, of a shared prefix against one pass."""
    exported, prompts, model = Exported(folder), judge.prompts, judge.model
    pixels, _, turns = zip(*[scene for scene, _ in zip(scenes(1, "4,4", 4), range(3))])
    pixel_values = normalise(np.stack(pixels))
    asked = [prompts.question(turns[0][0]) for turns in turns]
    length = min(map(len, asked))
    ids = np.array([[*prompts.head, *words[:length], *prompts.tail] for words in asked])
    p = len(prompts.head)
    mask = np.ones_like(ids)
    mask[0, [p + 1, p + 3]] = 0
    mask[1, p : p + length] = 0
    mask[2, 20:30] = 0
    positions = prompts.family.positions(prompts.head, ids.shape[1] - p).numpy()
    embeds = exported.embeds(ids, exported.features(prompts.family, pixel_values))
    logits, _ = exported.decode(embeds, mask, positions)
    with torch.no_grad():
        reference = forward(model, prompts.family.features(model, pixel_values), prompts, ids, mask).numpy()
    # Where an answer is read; elsewhere nothing trained the logits.
    result = {"pytorch": np.abs(logits - reference)[:, -1].max()}
    removal = []
    for row in range(3):
        keep = mask[row].astype(bool)
        alone, _ = exported.decode(embeds[row : row + 1, keep], np.ones((1, keep.sum()), np.int64), positions[:, keep])
        removal.append(np.abs(alone[0] - logits[row, keep])[-1].max())
    result["removal"] = max(removal)
    _, past = exported.decode(embeds[:, :p], mask[:, :p], positions[:, :p])
    suffix, _ = exported.decode(embeds[:, p:], mask, positions[:, p:], past)
    result["prefix"] = np.abs(suffix - logits[:, p:])[mask[:, p:].astype(bool)].max()
    return {name: float(value) for name, value in result.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=sorted(FAMILIES))
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    judge = Judge(arguments.model, arguments.checkpoint)
    folder = arguments.out or HERE.parent / arguments.model / "model"
    judge.family.export(judge.model, folder, judge.prompts.tokenizer)
    differences = verify(judge, folder / "onnx")
    print(differences)
    if max(differences.values()) > 1e-3:
        raise SystemExit("the exported files do not compute what the checkpoint does")


if __name__ == "__main__":
    main()
