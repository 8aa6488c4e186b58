"""Trains an embedded model on the embedded suite's generator; see README.md for the recipe and why it is so.

    npm run build:ts && python bench/models/training/train.py llava-tiny
    python bench/models/training/train.py internvl-tiny --decoder-of bench/models/training/work/llava-tiny
"""

import argparse
import json
import math
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from tokenizers import Tokenizer

from families import FAMILIES
from lessons import Lessons
from packed import SHORT, Packer, Pass, Prompts, draw_hidden
from stream import (
    BLUR, CELL, CELLS, COLOURS, GRID, HERE, HIDDEN, SHAPES, SIGNS, batches, normalise, scenes, words,
)


def blurred(pixels):
    radius = BLUR * max(pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def mask_cells(pixels, hidden):
    """Replaces the cells where hidden [64] is set by the same cells of the blurred image."""
    grid = hidden.reshape(GRID, GRID).repeat(CELL, 0).repeat(CELL, 1)
    return np.where(grid[:, :, None], blurred(pixels), pixels)


def cell_codes(model, prompts, seed):
    """What the vision tower shall say of a cell: the embeddings of its words plus a code of its place.

    -> by class [29, width] (the last for a cell replaced by the blurred image), by place [64, width]
    """
    table = model.model.language_model.embed_tokens.weight.detach()
    scale = model.model.language_model.config.initializer_range
    generator = torch.Generator().manual_seed(seed)

    def draw(count):
        return torch.randn(count, table.shape[1], generator=generator) * scale

    clutter, sign, hidden, down, right = draw(5)
    objects = [table[prompts.word(c)] + table[prompts.word(s)] for c in COLOURS for s in SHAPES]
    what = [torch.zeros_like(clutter), *objects, clutter, *[sign + table[prompts.answer(s)] for s in SIGNS], hidden]
    # A common direction makes places comparable, one of its own makes every row and column recognisable.
    ramp = torch.linspace(-1, 1, GRID)[:, None]
    rows, columns = 0.5 * draw(GRID) + ramp * down, 0.5 * draw(GRID) + ramp * right
    where = (rows[:, None] + columns[None]).flatten(0, 1)
    return torch.stack(what), where


def no_place(where):
    """The same code for every place: without it, an empty cell would be a zero, which no norm can make anything of."""
    here = torch.randn(where.shape[1], generator=torch.Generator().manual_seed(5)) * 0.08
    return here.expand_as(where).clone()


def prepare_decoder(model):
    """Queries look for their own likes: what they do not have to discover."""
    for layer in model.model.language_model.layers:
        layer.self_attn.k_proj.weight.data.copy_(layer.self_attn.q_proj.weight.data)


def adopt_decoder(model, prompts, other, theirs):
    """Takes over another family's decoder: its layers, and the rows of the words and of the prompt's parts."""
    mine, yours = model.model.language_model, other.model.language_model
    # A layer more, where there is one, comes first: it says where the visual tokens are.
    layers = mine.layers[len(mine.layers) - len(yours.layers) :]
    missing, _ = layers.load_state_dict(yours.layers.state_dict(), strict=False)
    for name, parameter in layers.named_parameters():
        if name in missing:
            parameter.data.zero_()
    mine.norm.load_state_dict(yours.norm.state_dict())
    pairs = [(prompts.pad, theirs.pad), (prompts.end, theirs.end), (prompts.tail[-1], theirs.tail[-1])]
    for text in words():
        # The generator's words carry a space except at the start of a question.
        plain = text.strip()
        if plain != text:
            pairs.append((prompts.word(plain), theirs.word(plain)))
        else:
            pairs.append((prompts.question(f"{plain} x?")[0], theirs.question(f"{plain} x?")[0]))
    pairs.append((prompts.question("x y?")[-1], theirs.question("x y?")[-1]))
    pairs += [(prompts.answer(sign), theirs.answer(sign)) for sign in SIGNS]
    for a, b in pairs:
        mine.embed_tokens.weight.data[a] = yours.embed_tokens.weight.data[b]
        model.lm_head.weight.data[a] = other.lm_head.weight.data[b]


def teach_vision(model, family, codes, seconds, seed, batch):
    """The tower learns to say, in the decoder's word embeddings, what every cell shows and where it is."""
    what, where = codes
    scale = model.model.language_model.config.initializer_range
    parameters = [p for module in family.vision(model) for p in module.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0)
    rng = np.random.default_rng(seed)
    start, step, right = time.time(), 0, []
    # Crowded scenes: many examples of every kind per image.
    for group in batches(scenes(seed, "2,28", 1, signs=1), batch):
        share = (time.time() - start) / seconds
        if share >= 1:
            break
        for options in optimiser.param_groups:
            options["lr"] = 2e-3 * min(1, step / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
        hidden = np.stack([draw_hidden(rng, CELLS, 0.4, 0.02) for _ in group])
        pixels = np.stack([mask_cells(p, h) for (p, _, _), h in zip(group, hidden)])
        classes = torch.from_numpy(np.where(hidden, HIDDEN, np.array([c for _, c, _ in group])))
        said = family.features(model, normalise(pixels))
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


def muon(matrices, rate):
    """Orthogonal steps for the matrices of layers: about twice as few steps as Adam's in our trials."""
    return torch.optim.Muon(matrices, lr=rate, momentum=0.95, weight_decay=0.0, adjust_lr_fn="original")


def teach_places(model, prompts, codes, where, seconds, seed, batch):
    """The decoder's first layer learns to add where a visual token is, and to leave all other tokens as they are.

    Nothing but the rotation of its queries against the keys of the prompt tells a row from a column, and from answers alone
    it was not found; told directly, it is within a minute.
    """
    language, family = model.model.language_model, prompts.family
    what, here = codes
    scale, head = language.config.initializer_range, torch.tensor(prompts.head)
    image = torch.cat([head < 0, torch.zeros(SHORT, dtype=torch.bool)])
    texts = torch.tensor(sorted({prompts.pad, *prompts.tail, *(i for text in words() for i in prompts.question(f"{text.strip()} x?"))}))
    positions = family.positions(prompts.head, SHORT)[:, None]
    layer = language.layers[0]
    layer.self_attn.o_proj.weight.data.mul_(0.3)
    matrices = [p for p in layer.parameters() if p.ndim == 2]
    rest = [p for p in layer.parameters() if p.ndim == 1]
    optimisers = [
        muon(matrices, 0.02),
        torch.optim.AdamW(rest, lr=2e-3, weight_decay=0.0),
    ]
    full = [o.param_groups[0]["lr"] for o in optimisers]
    generator = torch.Generator().manual_seed(seed)
    start, step = time.time(), 0
    while (share := (time.time() - start) / seconds) < 1:
        for optimiser, rate in zip(optimisers, full):
            optimiser.param_groups[0]["lr"] = rate * min(1, (step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
            optimiser.zero_grad()
        classes = random_classes(batch, len(what), generator)
        text = texts[torch.randint(len(texts), (batch, SHORT), generator=generator)]
        x = language.embed_tokens(torch.cat([head.clamp(min=0).expand(batch, -1), text], 1)).detach()
        x[:, image] = what[classes] + here
        said = layer(x, position_embeddings=language.rotary_emb(x, positions))
        error = ((said - x) / scale).square().mean(-1)
        told = ((said[:, image] - what[classes] - where) / scale).square().mean(-1)
        loss = told.mean() + 0.3 * error[:, ~image].mean()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        step += 1
        if step % 100 == 0:
            named = torch.cdist((said[:, image] - what[classes]).detach().flatten(0, 1), where).argmin(-1)
            right = (named == torch.arange(CELLS).repeat(batch)).float().mean()
            print(f"places step {step} {time.time() - start:.0f}s error {told.mean().item():.4f} others {error[:, ~image].mean().item():.4f} named {right:.4f}", flush=True)


def random_classes(batch, count, generator):
    """Cells [batch, CELLS] of scenes without sense: empty, anything, and the last class, hidden, by shares of their own."""
    def draw(*shape):
        return torch.rand(*shape, generator=generator)

    anything = torch.randint(1, count, (batch, CELLS), generator=generator)
    classes = torch.where(draw(batch, CELLS) < 0.6 * draw(batch, 1), anything, 0)
    hidden = (draw(batch, 1) < 0.5) & (draw(batch, CELLS) < draw(batch, 1))
    return torch.where(hidden, count - 1, classes)


@dataclass
class Stage:
    """One part of the curriculum. It ends when every unmasked form is answered right `enough` often, or after `minutes`."""

    objects: str
    mix: dict
    enough: float
    minutes: float
    priors: float = 0
    signs: float = 0
    masking: bool = False
    # Share of the images of a masked stage that are left whole.
    whole: float = 0.45
    # Whether the decoder reads the codes of the cells instead of what the tower says of the pixels: nearly the same, and
    # cheaper.
    codes: bool = True
    # How often forms of questions are kept, where not always.
    keep: dict = field(default_factory=dict)
    # Learning rate at the beginning and at the end, relative to the full one.
    rates: tuple = (1, 1)


LESSONS = {"attribute": 3, "place": 1, "presence": 2}
ALL = {"relation": 4, "counting": 2, "choice": 2, "presence": 1, "attribute": 0.5, "place": 0.5}
# Counting takes longest, and has few questions: scenes with four alike are rare.
SUITE = {"relation": 2, "counting": 5, "choice": 2.5, "presence": 1.5, "attribute": 0.3}
FACTS = {"relation": 1, "counting": 4, "choice": 4, "presence": 0.7, "attribute": 0.2}
COUNTS = {"counting": 6, "relation": 0.8, "choice": 3, "presence": 0.6}
STAGES = {
    "lessons": Stage("2,4", LESSONS, 0.95, 6),
    # Which of two opposites is asked is an exclusive-or with where things lie, which nothing points to: first one of
    # them, then the other as a rare exception.
    "halves": Stage("4,4", ALL, 0.75, 10, keep={"relation-below": 0, "relation-right": 0}),
    "exceptions": Stage("4,4", ALL, 0.75, 10, keep={"relation-below": 0.2, "relation-right": 0.2}),
    "families": Stage("4,4", SUITE, 0.985, 8, priors=0.12, signs=0.15, rates=(1, 0.15)),
    # What text-prior questions with options ask for is known last.
    "facts": Stage("4,4", FACTS, 0.985, 5, priors=0.35, signs=0.08, rates=(0.7, 0.4)),
    "adapt": Stage("4,4", SUITE, 0.97, 8, priors=0.15, signs=0.15, rates=(0.7, 0.4)),
    "masked": Stage("4,4", SUITE, 2, 9, priors=0.2, signs=0.12, masking=True, rates=(0.5, 0.1)),
    # Groups of two and three are the last to be told apart: a fine matter of how much attention matching cells get.
    "counts": Stage("4,4", COUNTS, 2, 6, priors=0.25, signs=0.06, masking=True, whole=0.7, rates=(0.5, 0.02)),
    # Facts of choice questions once more, where they were learnt last.
    "choices": Stage("4,4", FACTS, 2, 4, priors=0.35, signs=0.08, masking=True, whole=0.7, rates=(0.4, 0.05)),
    "pixels": Stage("4,4", SUITE, 2, 3, priors=0.2, signs=0.12, masking=True, codes=False, rates=(0.15, 0.01)),
}


class Trainer:
    def __init__(self, model, family, prompts, codes, lessons, arguments):
        self.model, self.family, self.prompts, self.codes, self.lessons = model, family, prompts, codes, lessons
        self.arguments = arguments
        self.packer = Packer(prompts)
        self.rng = np.random.default_rng(arguments.seed + 1)
        layers = model.model.language_model.layers
        # What says what a cell shows and where it is.
        for module in [*family.vision(model), *([] if family.places else layers[:1])]:
            module.requires_grad_(False)
        self.parameters = [p for p in model.parameters() if p.requires_grad] + list(lessons.parameters())
        matrices = [p for p in layers.parameters() if p.ndim == 2 and p.requires_grad]
        held = {id(p) for p in matrices}
        self.optimisers = [
            muon(matrices, arguments.matrix_rate),
            torch.optim.AdamW([p for p in self.parameters if id(p) not in held], lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.01),
        ]
        self.full = [[group["lr"] for group in o.param_groups] for o in self.optimisers]
        self.start, self.step = time.time(), 0

    def features(self, batch, hidden, stage):
        what, where = self.codes
        if stage.codes:
            classes = np.where(np.stack(hidden), HIDDEN, np.array([classes for _, classes, _ in batch]))
            return what[torch.from_numpy(classes)] + where
        pixels = np.stack([mask_cells(p, h) if h.any() else p for (p, _, _), h in zip(batch, hidden)])
        with torch.no_grad():
            return self.family.features(self.model, normalise(pixels))

    def set_rate(self, factor):
        for optimiser, full in zip(self.optimisers, self.full):
            for group, rate in zip(optimiser.param_groups, full):
                group["lr"] = rate * factor

    def run(self, name, number, save):
        stage, turns = STAGES[name], self.arguments.turns
        counts = (turns - turns // 4, turns // 4) if "choice" in stage.mix else (turns, 0)
        stream = batches(
            scenes(self.arguments.seed * 100 + number, stage.objects, turns + turns // 2, stage.mix, stage.priors, stage.signs),
            self.arguments.batch,
        )
        begin, steps, log, saved = time.time(), 0, defaultdict(list), time.time()
        while True:
            share = (time.time() - begin) / 60 / (stage.minutes * self.arguments.patience)
            if share >= 1 or (steps % 50 == 0 and reached(log, stage)):
                break
            first, last = stage.rates
            self.set_rate(min(1, (self.step + 1) / 100) * (first + (last - first) * share))
            batch = [
                (pixels, classes, [t for t in asked if self.rng.random() < stage.keep.get(t[2], 1)])
                for pixels, classes, asked in next(stream)
            ]
            self.learn(batch, stage, counts, log)
            steps += 1
            if steps % 100 == 0:
                self.report(name, log)
                log = defaultdict(list, {k: v[-1500:] for k, v in log.items()})
            if time.time() - saved > 45:
                save()
                saved = time.time()
        self.report(name, log)

    def learn(self, batch, stage, counts, log):
        hidden = [draw_hidden(self.rng, CELLS, stage.whole, 0.08) if stage.masking else np.zeros(CELLS, bool) for _ in batch]
        groups = self.packer.groups([t for _, _, t in batch], counts, self.rng, stage.masking)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.arguments.bf16):
            result = Pass(self.model, self.features(batch, hidden, stage), self.prompts, groups)
            last = torch.cat([out[g.where[:, 0], g.where[:, 1]] for out, g in zip(result.outputs, groups)])
            logits = self.model.lm_head(last).float()
            pointing, early, hits = self.lessons.loss(
                result, groups, [np.asarray(c) for _, c, _ in batch], [not h.any() for h in hidden], self.model
            )
        targets = torch.cat([g.targets for g in groups])
        # The answer is one token; after it comes the end.
        loss = F.cross_entropy(logits[:, -2], targets)
        total = loss + 0.05 * F.cross_entropy(logits[:, -1], torch.full_like(targets, self.prompts.end))
        total = total + self.arguments.pointing * pointing + self.arguments.early * early
        for parameter in self.parameters:
            parameter.grad = None
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        log["loss"].append(loss.item())
        log["heads"].append(hits)
        infos = [info for g in groups for info in g.infos]
        for hit, (s, _, form, gone) in zip((logits[:, -2].argmax(-1) == targets).tolist(), infos):
            if gone == 0 and not hidden[s].any():
                log[form].append(hit)

    def report(self, name, log):
        forms = " ".join(f"{k} {np.mean(v[-600:]):.3f}" for k, v in sorted(log.items()) if k not in ("loss", "heads"))
        heads = [round(float(x), 2) for x in np.nanmean([np.full(7, np.nan), *log["heads"][-50:]], 0)]
        print(f"{name} step {self.step} {time.time() - self.start:.0f}s loss {np.mean(log['loss'][-100:]):.4f} "
              f"heads {heads} | {forms}", flush=True)


def reached(log, stage):
    """Whether the latest unmasked answers of every form are right often enough; places only help along."""
    forms = [v[-600:] for k, v in log.items() if k.startswith(tuple(stage.mix)) and not k.startswith("place")]
    return len(forms) > 0 and all(len(hits) >= 100 and np.mean(hits) >= stage.enough for hits in forms)


def save(folder, model, tokenizer, codes, lessons):
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": model.state_dict(), "codes": codes, "lessons": lessons.state_dict()}, folder / "checkpoint.pt")
    tokenizer.save(str(folder / "tokenizer.json"))


def load(folder, family):
    """-> model, tokenizer, codes, state of the lessons' heads"""
    held = torch.load(Path(folder) / "checkpoint.pt")
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    model = family.build(tokenizer)
    model.load_state_dict(held["model"])
    return model, tokenizer, held["codes"], held["lessons"]


# What a decoder that was taken over still has to learn: the other prompt, and other rotations.
ADAPT = "adapt,facts,masked,counts,choices,pixels"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=sorted(FAMILIES))
    parser.add_argument("--vision-seconds", type=float, default=300)
    parser.add_argument("--place-seconds", type=float, default=120, help="for the layer that says where visual tokens are")
    parser.add_argument("--vision-batch", type=int, default=24)
    parser.add_argument("--patience", type=float, default=1, help="multiplies the time that a stage may take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="of embeddings, norms and heads")
    parser.add_argument("--matrix-rate", type=float, default=0.02, help="of the layers' matrices")
    parser.add_argument("--turns", type=int, default=16, help="questions per scene")
    parser.add_argument("--batch", type=int, default=12, help="scenes per step")
    parser.add_argument("--pointing", type=float, default=0.3, help="weight of what the words point to")
    parser.add_argument("--early", type=float, default=0.5, help="weight of the early answer")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="matrix products in bfloat16")
    parser.add_argument("--resume", type=Path, help="checkpoint folder to go on from, vision tower included")
    parser.add_argument("--decoder-of", type=Path, help="checkpoint folder of llava-tiny whose decoder is the beginning")
    parser.add_argument("--stages", help="comma-separated; by default those that the beginning needs")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    family = FAMILIES[arguments.model]
    out = arguments.out or HERE / "work" / family.name
    if arguments.resume:
        model, tokenizer, codes, heads = load(arguments.resume, family)
        prompts = Prompts(family, tokenizer)
        lessons = Lessons(128, prompts)
        lessons.load_state_dict(heads)
    else:
        tokenizer = family.build_tokenizer(words())
        model = family.build(tokenizer)
        prompts = Prompts(family, tokenizer)
        lessons = Lessons(128, prompts)
        print(f"{sum(p.numel() for p in model.parameters())} parameters, vocabulary {tokenizer.get_vocab_size()}", flush=True)
        if arguments.decoder_of:
            llava = FAMILIES["llava-tiny"]
            other, their_tokenizer, codes, heads = load(arguments.decoder_of, llava)
            adopt_decoder(model, prompts, other, Prompts(llava, their_tokenizer))
            lessons.load_state_dict(heads)
        else:
            prepare_decoder(model)
            codes = cell_codes(model, prompts, arguments.seed)
        if not family.places:
            where, codes = codes[1], (codes[0], no_place(codes[1]))
            teach_places(model, prompts, codes, where, arguments.place_seconds, arguments.seed, arguments.vision_batch)
        named = teach_vision(model, family, codes, arguments.vision_seconds, arguments.seed, arguments.vision_batch)
        print(f"named {named:.4f}", flush=True)
        save(out, model, tokenizer, codes, lessons)
    trainer = Trainer(model, family, prompts, codes, lessons, arguments)
    scratch = ",".join(name for name in STAGES if name not in ("adapt", "choices"))
    stages = arguments.stages or (ADAPT if arguments.decoder_of else scratch)
    for number, name in enumerate(stages.split(",")):
        trainer.run(name, number, lambda: save(out, model, tokenizer, codes, lessons))
        save(out, model, tokenizer, codes, lessons)
    (out / "log.json").write_text(json.dumps({"steps": trainer.step, "seconds": round(time.time() - trainer.start)}) + "\n")


if __name__ == "__main__":
    main()
