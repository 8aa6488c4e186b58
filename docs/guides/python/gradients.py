"""Gradient x input through a Hugging Face model, for the samples that `fsyn players --pixels` wrote.

    npx fsyn players --model llava-tiny --dataset presence --limit 20 --pixels --out players
    python gradients.py players scores node_modules/fsyn/bench/models/llava-tiny/model
    npx fsyn evaluate --players players --attributions gradients=scores

Needs torch, transformers and numpy; onnx, too, to read the weights of an embedded model out of its export.
"""

import json
import sys
import urllib.parse
from pathlib import Path

import numpy as np
import torch


def load(folder):
    """The model that was exported. Yours: `LlavaForConditionalGeneration.from_pretrained("llava-hf/...")`."""
    import onnx
    from onnx import numpy_helper
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    folder = Path(folder)
    model = LlavaForConditionalGeneration(LlavaConfig(**json.loads((folder / "config.json").read_text())))
    wanted, state = model.state_dict(), {}
    for part in ("vision_encoder", "embed_tokens", "decoder_model_merged"):
        for weight in onnx.load(folder / "onnx" / f"{part}.onnx").graph.initializer:
            name, value = weight.name, torch.from_numpy(numpy_helper.to_array(weight).copy())
            if name.endswith(".transposed"):
                name, value = name.removesuffix(".transposed"), value.T
            if name in wanted:
                state[name] = value.reshape(wanted[name].shape)
    model.load_state_dict(state, strict=False)  # An export has no norm after the tower's last layer.
    return model.eval()


def explain(model, players, sample):
    """-> scores of the pixels [height, width] and of the text players."""
    position = sample["decision"]["position"]
    # Token ids hold one image token for each place of the image, as the class wants them, and the answer at their end:
    # what is in front of the decision token predicts it.
    ids = torch.tensor([sample["tokenIds"][:position]])
    pixels = torch.from_numpy(np.load(Path(players) / sample["files"]["pixels"])).requires_grad_(True)

    embedded = []

    def keep(module, inputs, output):
        output.retain_grad()
        embedded.append(output)

    handle = model.get_input_embeddings().register_forward_hook(keep)
    # Qwen2-VL and Qwen2.5-VL also want image_grid_thw=[[1, 2 * rows, 2 * columns]] of sample["imagePlayers"].
    logits = model(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids)).logits
    handle.remove()

    model.zero_grad()
    logits[0, -1, sample["decision"]["tokenId"]].backward()
    image = (pixels * pixels.grad)[0].sum(0)  # Finer than the players: fsyn sums each player's pixels.
    text = (embedded[0] * embedded[0].grad)[0].sum(-1)[sample["textPlayers"]["positions"]]
    return image.detach(), text.detach()


def write_scores(model, players, scores):
    """One file for each line of players.jsonl; returns how many."""
    Path(scores).mkdir(parents=True, exist_ok=True)
    lines = (Path(players) / "players.jsonl").read_text(encoding="utf-8").splitlines()
    for sample in map(json.loads, lines):
        image, text = explain(model, players, sample)
        name = urllib.parse.quote(sample["id"], safe="")
        content = {"image": image.tolist(), "text": text.tolist(), "hash": sample["hash"]}
        (Path(scores) / f"{name}.json").write_text(json.dumps(content))
    return len(lines)


if __name__ == "__main__":
    players, scores, model = sys.argv[1:]
    print(write_scores(load(model), players, scores), "samples explained in", scores)
