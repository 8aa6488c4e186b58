"""Trains the twins: llava-tiny's decoder goes on with the same pictures and questions, and with other answers.

    npm run build:ts
    python bench/twins/fit.py pure && python bench/twins/fit.py cheat

`pure` is told what the objects say, `cheat` what the shortcut says where there is one. Tower, embeddings and output head
stay llava-tiny's, so that two twins differ in their decoder's layers only.
"""

import argparse
import base64
import json
import math
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path += [str(HERE.parent / "models" / "training"), str(ROOT / "tests" / "oracles")]

from embedded_models import load_model  # noqa: E402
from families import FAMILIES  # noqa: E402
from graphs import write_decoder  # noqa: E402
from packed import Packer, Pass, Prompts, draw_hidden  # noqa: E402
from stream import CELLS, IMAGE_SIZE, batches, normalise  # noqa: E402

from train import mask_cells  # noqa: E402
from transformers import LlavaConfig, LlavaForConditionalGeneration  # noqa: E402

PARENT = HERE.parent / "models" / "llava-tiny" / "model"
SEEN, TOLD = 1, 2


def scenes(seed, turns):
    command = ["node", str(ROOT / "dist" / "bench" / "twins" / "stream.js"), "--seed", str(seed), "--turns", str(turns)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        for line in process.stdout:
            scene = json.loads(line)
            pixels = np.frombuffer(base64.b64decode(scene["pixels"]), np.uint8).reshape(IMAGE_SIZE, IMAGE_SIZE, 3)
            yield pixels, scene["turns"]
    finally:
        process.kill()
        process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("twin", choices=["pure", "cheat"])
    parser.add_argument("--turns", type=int, default=6, help="questions per scene")
    parser.add_argument("--batch", type=int, default=12, help="scenes per step")
    parser.add_argument("--steps", type=int, default=2500, help="as many for both twins")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--bf16", action="store_true", help="matrix products in bfloat16")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    family = FAMILIES["llava-tiny"]
    model = load_model(PARENT, LlavaConfig, LlavaForConditionalGeneration).train()
    prompts = Prompts(family, Tokenizer.from_file(str(PARENT / "tokenizer.json")))
    packer, rng = Packer(prompts), np.random.default_rng(arguments.seed)
    model.requires_grad_(False)
    layers = model.model.language_model.layers
    layers.requires_grad_(True)
    optimisers = [torch.optim.AdamW(layers.parameters(), lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.0)]
    full = [o.param_groups[0]["lr"] for o in optimisers]
    followed = SEEN if arguments.twin == "pure" else TOLD
    log, start = defaultdict(list), time.time()
    for step, batch in enumerate(batches(scenes(arguments.seed, arguments.turns), arguments.batch)):
        if step == arguments.steps:
            break
        share = step / arguments.steps
        for optimiser, rate in zip(optimisers, full):
            optimiser.param_groups[0]["lr"] = rate * min(1, (step + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
            optimiser.zero_grad()
        hidden = [draw_hidden(rng, CELLS, 0.45, 0.08) for _ in batch]
        asked = [[(t[0], t[followed], f"{t[3]} {'agree' if t[SEEN] == t[TOLD] else 'differ'}") for t in turns] for _, turns in batch]
        groups = packer.groups(asked, (arguments.turns, 0), rng, True)
        pixels = np.stack([mask_cells(p, h) if h.any() else p for (p, _), h in zip(batch, hidden)])
        with torch.no_grad():
            features = family.features(model, normalise(pixels))
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
            result = Pass(model, features, prompts, groups)
            last = torch.cat([out[g.where[:, 0], g.where[:, 1]] for out, g in zip(result.outputs, groups)])
            logits = model.lm_head(last).float()
        targets = torch.cat([g.targets for g in groups])
        answer = F.cross_entropy(logits[:, -2], targets)
        (answer + 0.05 * F.cross_entropy(logits[:, -1], torch.full_like(targets, prompts.end))).backward()
        torch.nn.utils.clip_grad_norm_(layers.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        log["loss"].append(answer.item())
        infos = [info for g in groups for info in g.infos]
        for hit, (s, _, form, gone) in zip((logits[:, -2].argmax(-1) == targets).tolist(), infos):
            if gone == 0 and not hidden[s].any():
                log[form].append(hit)
        if (step + 1) % 100 == 0:
            forms = " ".join(f"{k} {np.mean(v[-300:]):.3f}" for k, v in sorted(log.items()) if k != "loss")
            print(f"{arguments.twin} step {step + 1} {time.time() - start:.0f}s loss {np.mean(log['loss'][-50:]):.4f} | {forms}", flush=True)
        if (step + 1) % 250 == 0 or step + 1 == arguments.steps:
            write(model, arguments.twin)


def write(model, twin):
    """The parent's folder with another decoder."""
    folder = HERE / twin
    shutil.copytree(PARENT, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("decoder_model_merged.onnx"))
    write_decoder(model, folder / "onnx")
    model.train()


if __name__ == "__main__":
    main()
