"""The stream of training scenes, and what is known of them."""

import base64
import json
import subprocess
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
STREAM = ROOT / "dist" / "bench" / "models" / "training" / "stream.js"

IMAGE_SIZE, CELL, GRID = 64, 8, 8
CELLS = GRID * GRID
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
# What a cell may show, in the order of the generator's class numbers (CELL_CLASSES of stream.ts) ...
COLOURS = ["red", "green", "blue", "yellow"]
SHAPES = ["circle", "square", "triangle", "cross"]
SIGNS = ["yes", "no", "1", "2", "3", "4", "A", "B", "C", "D"]
# ... and one more: replaced by the blurred image.
CLASSES = 29
HIDDEN = CLASSES - 1
# Width of the Gaussian of the blurred image as a share of the longer side: colours no longer tell cells apart.
BLUR = 0.25


def words():
    out = subprocess.run(["node", str(STREAM), "--words"], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)


def normalise(pixels):
    """Bytes [n, 64, 64, 3] -> pixel values [n, 3, 64, 64]."""
    values = (pixels.astype(np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))


def scenes(seed, objects, turns, mix=None, priors=0.2, signs=0.15):
    """Yields (pixels [64, 64, 3], classes of cells [64], turns [(question, answer, form)]) from the generator."""
    command = ["node", str(STREAM), "--scenes", "1000000000", "--seed", str(seed), "--objects", objects,
               "--turns", str(turns), "--priors", str(priors), "--signs", str(signs)]
    if mix:
        command += ["--mix", ",".join(f"{subject}:{weight}" for subject, weight in mix.items())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        for line in process.stdout:
            scene = json.loads(line)
            pixels = np.frombuffer(base64.b64decode(scene["pixels"]), np.uint8).reshape(IMAGE_SIZE, IMAGE_SIZE, 3)
            yield pixels, scene["cells"], scene["turns"]
    finally:
        process.kill()
        process.wait()


def batches(stream, size):
    while True:
        yield [next(stream) for _ in range(size)]
