"""Trains llava-tiny on the embedded suite's generator; see README.md for the recipe and why it is so.

    npm run build:ts && python bench/models/llava-tiny/train.py --minutes 20
"""

import argparse
import math
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from PIL import Image, ImageFilter
from tokenizers import Tokenizer
from transformers import LlavaForConditionalGeneration

from model import (
    BLUR, CELLS, COLOURS, EOS, GRID, HERE, PATCH, SHAPES, SIGNS, build_config, build_tokenizer, normalise, scenes,
)
from packed import Packer, draw_hidden, run

# Kinds of cells of the generator, and one more: replaced by the blurred image.
CLASSES = 29
HIDDEN = CLASSES - 1


def blurred(pixels):
    radius = BLUR * max(pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def mask_cells(pixels, hidden):
    """Replaces the cells where hidden [64] is set by the same cells of the blurred image."""
    grid = hidden.reshape(GRID, GRID).repeat(PATCH, 0).repeat(PATCH, 1)
    return np.where(grid[:, :, None], blurred(pixels), pixels)


def features_of(model, pixel_values):
    """Vision tower and projector: [n, 64, width]."""
    hidden = model.model.vision_tower(pixel_values, output_hidden_states=True).hidden_states[-1][:, 1:]
    return model.model.multi_modal_projector(hidden)


def batches(stream, size):
    while True:
        yield [next(stream) for _ in range(size)]


def cell_codes(model, tokenizer, seed):
    """What the projector shall say of a cell: the embeddings of its words plus a code of its place.

    -> by class [29, width] (the last for a cell replaced by the blurred image), by place [64, width]
    """
    words = model.model.language_model.embed_tokens.weight.detach()
    scale = model.config.text_config.initializer_range
    generator = torch.Generator().manual_seed(seed)

    def draw(count):
        return torch.randn(count, words.shape[1], generator=generator) * scale

    def word(text):
        return words[tokenizer.token_to_id("\u2581" + text)]

    clutter, sign, hidden, down, right = draw(5)
    what = [torch.zeros_like(clutter), *[word(c) + word(s) for c in COLOURS for s in SHAPES], clutter,
            *[sign + word(s) for s in SIGNS], hidden]
    # A common direction makes places comparable, one of its own makes every row and column recognisable.
    ramp = torch.linspace(-1, 1, GRID)[:, None]
    rows, columns = 0.5 * draw(GRID) + ramp * down, 0.5 * draw(GRID) + ramp * right
    return torch.stack(what), (rows[:, None] + columns[None]).flatten(0, 1)


def teach_vision(model, codes, seconds, seed):
    """The tower and the projector learn to say, in the decoder's word embeddings, what every cell shows and where it is."""
    what, where = codes
    scale = model.config.text_config.initializer_range
    parameters = [*model.model.vision_tower.parameters(), *model.model.multi_modal_projector.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0)
    rng = np.random.default_rng(seed)
    start, step, right = time.time(), 0, []
    # Crowded scenes: many examples of every kind per image.
    for batch in batches(scenes(seed, "2,28", 1, signs=1), 24):
        share = (time.time() - start) / seconds
        if share >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1, step / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
        hidden = np.stack([draw_hidden(rng, CELLS, 0.4, 0.02) for _ in batch])
        pixels = np.stack([mask_cells(p, h) for (p, _, _), h in zip(batch, hidden)])
        classes = torch.from_numpy(np.where(hidden, HIDDEN, np.array([c for _, c, _ in batch])))
        said = features_of(model, normalise(pixels))
        # Empty and hidden cells are many and easy.
        weight = torch.where((classes == 0) | (classes == HIDDEN), 0.3, 1.0) + 4.0 * ((classes > 17) & (classes < HIDDEN))
        error = ((said - what[classes] - where) / scale).square().mean(-1)
        loss = (error * weight).sum() / weight.sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        seen = (classes > 0) & (classes != HIDDEN)
        named = torch.cdist((said - where).detach(), what).argmin(-1)
        right.append((named == classes)[seen].float().mean().item())
        step += 1
        if step % 100 == 0:
            print(f"vision step {step} {time.time() - start:.0f}s error {loss.item():.4f} named {np.mean(right[-100:]):.4f}", flush=True)
    return np.mean(right[-50:])


@dataclass
class Stage:
    """One part of the curriculum. It ends when every unmasked form is answered right `enough` often, or at `latest`."""

    objects: str
    mix: dict
    priors: float
    signs: float
    masking: bool
    # Whether the decoder reads the codes of the cells instead of what the projector says of the pixels: nearly the same,
    # and cheaper.
    codes: bool
    enough: float
    latest: float


LESSONS = {"attribute": 4, "presence": 4}
STAGES = [
    Stage("2,3", LESSONS, 0, 0, False, True, 0.95, 0.25),
    Stage("3,5", LESSONS | {"counting": 3}, 0, 0, False, True, 0.95, 0.35),
    Stage("3,6", {"presence": 3, "attribute": 2}, 0.1, 0.4, False, True, 0.96, 0.45),
    Stage("4,4", {"presence": 3, "attribute": 1}, 0.15, 0.2, True, False, 2, 1),
]


def train_decoder(model, tokenizer, codes, arguments, rank, save):
    """Every worker computes its own scenes on one thread; gradients are averaged once per step."""
    counts, seconds, workers = (arguments.short, arguments.long), arguments.minutes * 60, arguments.workers
    for module in (model.model.vision_tower, model.model.multi_modal_projector):
        module.requires_grad_(False)
    packer = Packer(tokenizer)
    what, where = codes
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.01)
    seed = arguments.seed * workers + rank
    rng = np.random.default_rng(seed + 1)
    start, step, saved = time.time(), 0, time.time()
    share = 0.0
    for number, stage in enumerate(STAGES[arguments.first_stage :], arguments.first_stage):
        short, long = counts if "choice" in stage.mix else (sum(counts), 0)
        stream = batches(
            scenes(seed * 100 + number, stage.objects, 2 * (short + long), stage.mix, stage.priors, stage.signs),
            arguments.batch // workers,
        )
        done, log = 0.0, defaultdict(list)
        while not done and share < stage.latest:
            batch = next(stream)
            # Flat, then a linear decline over the last two fifths.
            lr = arguments.rate * min(1, step / 100) * min(1, max(0.02, (1 - share) / 0.4))
            for group in optimiser.param_groups:
                group["lr"] = lr
            hidden = [draw_hidden(rng, CELLS, 0.45, 0.08) if stage.masking else np.zeros(CELLS, bool) for _ in batch]
            groups = packer.groups([t for _, _, t in batch], (short, long), rng, stage.masking)
            with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
                if stage.codes:
                    classes = np.where(np.stack(hidden), HIDDEN, np.array([classes for _, classes, _ in batch]))
                    features = what[torch.from_numpy(classes)] + where
                else:
                    pixels = np.stack([mask_cells(p, h) if h.any() else p for (p, _, _), h in zip(batch, hidden)])
                    with torch.no_grad():
                        features = features_of(model, normalise(pixels))
                outputs = run(model, features, packer.prefix, groups)
                last = torch.cat([out[g.where[:, 0], g.where[:, 1]] for out, g in zip(outputs, groups)])
                logits = model.lm_head(last).float()
            targets = torch.cat([g.targets for g in groups])
            infos = [info for g in groups for info in g.infos]
            # The answer is one token; after it comes the end.
            loss = F.cross_entropy(logits[:, -2], targets)
            total = loss + 0.05 * F.cross_entropy(logits[:, -1], torch.full_like(targets, EOS))
            for parameter in parameters:
                parameter.grad = None
            total.backward()
            finished = step % 20 == 0 and reached(log, stage)
            share, done = average(parameters, workers, rank, [(time.time() - start) / seconds, float(finished)])
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            step += 1
            right = logits[:, -2].argmax(-1) == targets
            log["loss"].append(loss.item())
            for hit, (r, _, form, gone) in zip(right.tolist(), infos):
                if gone == 0 and not hidden[r].any():
                    log[form].append(hit)
            if step % 50 == 0 and rank == 0:
                forms = " ".join(f"{k} {np.mean(v[-800:]):.3f}" for k, v in sorted(log.items()) if k != "loss")
                print(f"step {step} {time.time() - start:.0f}s {stage.objects} mask={stage.masking} lr {lr:.1e} "
                      f"loss {np.mean(log['loss'][-100:]):.4f} | {forms}", flush=True)
                log = defaultdict(list, {k: v[-1500:] for k, v in log.items()})
            if time.time() - saved > 45 and rank == 0:
                save(model)
                saved = time.time()


def reached(log, stage):
    """Whether the latest unmasked answers of every form are right often enough; places only help along."""
    forms = [hits[-400:] for name, hits in log.items() if name != "loss" and not name.startswith("place")]
    return all(len(hits) >= 200 and np.mean(hits) >= stage.enough for hits in forms) and len(forms) > 0


def average(parameters, workers, rank, news):
    """Averages the gradients over the workers, in place; returns the first worker's news to all."""
    if workers == 1:
        return news
    flat = torch.cat([*[p.grad.flatten() for p in parameters], torch.tensor(news) * (workers if rank == 0 else 0)])
    dist.all_reduce(flat)
    flat /= workers
    offset = 0
    for parameter in parameters:
        size = parameter.numel()
        parameter.grad.copy_(flat[offset : offset + size].view_as(parameter))
        offset += size
    return flat[offset:].tolist()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=20, help="for the decoder; the vision tower takes one more")
    parser.add_argument("--vision-seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--short", type=int, default=10, help="short questions per scene")
    parser.add_argument("--long", type=int, default=0, help="multiple-choice questions per scene")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--bf16", action="store_true", help="matrix products in bfloat16")
    parser.add_argument("--resume", help="checkpoint folder to go on from, vision tower included")
    parser.add_argument("--first-stage", type=int, default=0, help="where the curriculum starts")
    parser.add_argument("--out", default=str(HERE / "work" / "checkpoint"))
    arguments = parser.parse_args()
    if not arguments.resume:
        torch.manual_seed(arguments.seed)
        tokenizer = build_tokenizer()
        model = LlavaForConditionalGeneration(build_config(tokenizer.get_vocab_size()))
        print(f"{sum(p.numel() for p in model.parameters())} parameters, vocabulary {tokenizer.get_vocab_size()}", flush=True)
        codes = cell_codes(model, tokenizer, arguments.seed)
        print(f"named {teach_vision(model, codes, arguments.vision_seconds, arguments.seed):.4f}", flush=True)
        arguments.resume = arguments.out
        save_to(arguments.out, model, tokenizer, codes)
    if arguments.workers > 1:
        with tempfile.TemporaryDirectory() as folder:
            torch.multiprocessing.spawn(work, (arguments, f"file://{folder}/store"), arguments.workers)
    else:
        work(0, arguments, None)


def work(rank, arguments, store):
    torch.set_num_threads(1)
    if store:
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=arguments.workers)
    tokenizer = Tokenizer.from_file(f"{arguments.resume}/tokenizer.json")
    model = LlavaForConditionalGeneration.from_pretrained(arguments.resume, dtype=torch.float32)
    codes = torch.load(f"{arguments.resume}/codes.pt")
    train_decoder(model, tokenizer, codes, arguments, rank, lambda m: save_to(arguments.out, m, tokenizer, codes))
    if rank == 0:
        save_to(arguments.out, model, tokenizer, codes)


def save_to(folder, model, tokenizer, codes):
    model.save_pretrained(folder)
    torch.save(codes, f"{folder}/codes.pt")
    tokenizer.save(f"{folder}/tokenizer.json")


if __name__ == "__main__":
    main()
