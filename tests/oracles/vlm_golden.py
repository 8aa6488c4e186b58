"""Golden values of a Hugging Face VLM on masked inputs, shared by the scripts of the architectures."""

import json

import numpy as np
import torch
from PIL import ImageFilter

from vlm_pixels import picture

blur = 30 / 640


def question_positions(tokenizer, expanded, question, after, specials):
    """Tokens that hold a character of the question, found with the Python tokenizer's own offsets."""
    start = expanded.index(question, after)
    encoding = tokenizer(expanded, return_offsets_mapping=True)
    pairs = zip(encoding["input_ids"], encoding["offset_mapping"])
    return [
        i for i, (token, (a, b)) in enumerate(pairs)
        if b > a and a < start + len(question) and b > start and token not in specials
    ]


def answer_scores(model, inputs, ids, pixels, attention, positions, answer):
    """Log-probabilities of the answer tokens, teacher forced; absent tokens keep their positions."""
    full = torch.cat([ids, answer])[None]
    mask = torch.cat([attention, torch.ones_like(answer)])[None]
    extra = {k: v for k, v in inputs.items() if k == "image_grid_thw"}
    out = model(input_ids=full, pixel_values=pixels, attention_mask=mask, position_ids=positions(full), **extra)
    logp = torch.log_softmax(out.logits[0].float(), -1)
    rows = torch.arange(len(ids) - 1, len(ids) - 1 + len(answer))
    return logp[rows, answer]


def masked_cells(model, processor, image, inputs, text_players, players, element_players, positions, answer, count=6):
    """Random coalitions of `players` image cells (given per pixel element) and the text players."""
    generator = np.random.default_rng(3)
    ids = inputs["input_ids"][0]
    blurred = image.filter(ImageFilter.GaussianBlur(blur * max(image.size)))
    baseline = torch.as_tensor(processor.image_processor(blurred, return_tensors="np")["pixel_values"])
    original = inputs["pixel_values"]
    result = []
    for case in range(count):
        image_mask = generator.integers(0, 2, players)
        text_mask = generator.integers(0, 2, len(text_players))
        if case == 0:
            image_mask[:], text_mask[:] = 1, 1
        if case == 1:
            image_mask[:], text_mask[:] = 0, 0
        present = torch.as_tensor(image_mask)[element_players].bool()
        pixels = torch.where(present, original, baseline)
        for masking in ("remove", "attend"):
            masked = ids.clone()
            attention = torch.ones_like(ids)
            for token_present, position in zip(text_mask, text_players):
                if not token_present:
                    masked[position] = processor.tokenizer.pad_token_id
                    attention[position] = 0 if masking == "remove" else 1
            scores = answer_scores(model, inputs, masked, pixels, attention, positions, answer)
            result.append(
                {
                    "image": image_mask.tolist(), "text": text_mask.tolist(), "masking": masking,
                    "logProbabilities": scores.tolist(),
                }
            )
    return result


def pixel_sample(values):
    flat = values.reshape(-1)
    index = np.sort(np.random.default_rng(7).choice(flat.size, 200, replace=False))
    return {"index": index.tolist(), "values": [float(v) for v in flat[index]]}


def make_case(model, processor, size, question, instruction, specials, element_players, players, positions, expand):
    image = picture(*size)
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question + instruction}]}]
    prompt = processor.apply_chat_template(turns, add_generation_prompt=True)
    inputs = processor(text=prompt, images=image, return_tensors="pt")
    ids = inputs["input_ids"][0]
    expanded = expand(prompt, inputs)
    assert processor.tokenizer(expanded)["input_ids"] == ids.tolist()
    text_players = question_positions(processor.tokenizer, expanded, question, 0, specials)
    keep = {k: v for k, v in inputs.items() if k in ("input_ids", "pixel_values", "image_grid_thw", "attention_mask")}
    extra = {k: v for k, v in inputs.items() if k == "mm_token_type_ids"}
    with torch.no_grad():
        logits = model(**keep, **extra).logits[0, -1]
        generated = model.generate(**keep, **extra, max_new_tokens=10, do_sample=False)[0, len(ids) :]
        cells = masked_cells(
            model, processor, image, inputs, text_players, players(inputs), element_players(inputs, image),
            lambda full: positions(full, inputs), generated[:3],
        )
    return {
        "size": list(size), "question": question, "instruction": instruction, "prompt": prompt, "ids": ids.tolist(),
        "questionPositions": text_players, "generated": generated.tolist(),
        "pixelShape": list(inputs["pixel_values"].shape), "pixels": pixel_sample(inputs["pixel_values"].numpy()),
        "positions": positions(inputs["input_ids"], inputs).reshape(-1, len(ids)).tolist(),
        "topLogits": [[int(i), float(logits[i])] for i in torch.argsort(logits, descending=True)[:10]],
        "cells": cells,
    }


def write(path, cases):
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
