"""Exports a checkpoint to the layout of the transformers.js ecosystem, in plain ONNX operators, and checks the result.

    python bench/models/llava-tiny/export.py [--checkpoint FOLDER] [--out FOLDER]

An initializer `NAME` or `NAME.transposed` holds the checkpoint's tensor NAME, so the files are also the checkpoint
(see tests/oracles/llava_tiny.py).
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import nn
from transformers import LlavaForConditionalGeneration

from model import (
    BLUR, BOS, CELLS, CHAT_TEMPLATE, EOS, HERE, IMAGE, IMAGE_SIZE, MEAN, PAD, PATCH, SPECIALS, STD, UNK,
)

OPSET = 17


class VisionEncoder(nn.Module):
    """pixel_values [n, 3, 64, 64] -> image_features [n, 64, width]: CLIP without its class token, then the projector."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        tower = self.model.model.vision_tower
        x = tower.embeddings(pixel_values)
        x = tower.pre_layrnorm(x)
        for layer in tower.encoder.layers:
            attention = layer.self_attn
            y = layer.layer_norm1(x)
            shape = (*y.shape[:2], attention.num_heads, attention.head_dim)
            q, k, v = (f(y).view(shape).transpose(1, 2) for f in (attention.q_proj, attention.k_proj, attention.v_proj))
            weights = (q @ k.transpose(-1, -2) * attention.scale).softmax(-1)
            x = x + attention.out_proj((weights @ v).transpose(1, 2).reshape(y.shape))
            x = x + layer.mlp(layer.layer_norm2(x))
        return self.model.model.multi_modal_projector(x[:, 1:])


class Decoder(nn.Module):
    """LLaMA with its key/value cache as inputs and outputs; a key whose attention_mask is 0 gets no weight at all."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs_embeds, attention_mask, position_ids, *past):
        language = self.model.model.language_model
        config = language.config
        heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
        length, total = inputs_embeds.shape[1], attention_mask.shape[1]
        angles = position_ids[:, None, :, None].float() * language.rotary_emb.inv_freq
        cos = torch.cat([angles.cos(), angles.cos()], -1)
        sin = torch.cat([angles.sin(), angles.sin()], -1)
        key = torch.arange(total)
        allowed = (key[None, :] <= key[total - length :, None])[None, None] & (attention_mask[:, None, None, :] > 0)
        lowest = torch.tensor(torch.finfo(torch.float32).min)

        def rotate(x):
            half = size // 2
            return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin

        x, presents = inputs_embeds, []
        for number, layer in enumerate(language.layers):
            attention = layer.self_attn
            y = layer.input_layernorm(x)
            shape = (y.shape[0], y.shape[1], heads, size)
            q, k, v = (f(y).view(shape).transpose(1, 2) for f in (attention.q_proj, attention.k_proj, attention.v_proj))
            k = torch.cat([past[2 * number], rotate(k)], 2)
            v = torch.cat([past[2 * number + 1], v], 2)
            presents += [k, v]
            scores = rotate(q) @ k.transpose(-1, -2) * size**-0.5
            weights = torch.where(allowed, scores, lowest).softmax(-1)
            x = x + attention.o_proj((weights @ v).transpose(1, 2).reshape(y.shape))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return (self.model.lm_head(language.norm(x)), *presents)


class Embedding(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        return self.model.model.language_model.embed_tokens(input_ids)


def write(module, arguments, path, inputs, outputs, axes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, arguments, path, input_names=inputs, output_names=outputs, dynamic_axes=axes,
            opset_version=OPSET, dynamo=False, do_constant_folding=True,
        )
    graph = onnx.load(path)
    name_initializers(graph.graph, module.model.state_dict())
    graph.producer_name, graph.doc_string = "", ""
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)
    return graph


def name_initializers(graph, state):
    """Gives every weight the name of the checkpoint's tensor that it holds."""
    names = {}
    for initializer in graph.initializer:
        value = numpy_helper.to_array(initializer)
        if initializer.name.startswith("model.") and initializer.name[6:] in state:
            names[initializer.name] = initializer.name[6:]
            continue
        for name, tensor in state.items():
            held = tensor.numpy()
            if value.ndim == 2 and held.shape[::-1] == value.shape and np.array_equal(held.T, value):
                names[initializer.name] = f"{name}.transposed"
                break
            if value.shape == held.shape and value.size > 1 and np.array_equal(held, value):
                names[initializer.name] = name
                break
    for initializer in graph.initializer:
        initializer.name = names.get(initializer.name, initializer.name)
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)


def export(model, folder):
    config = model.config.text_config
    layers, heads = config.num_hidden_layers, config.num_key_value_heads
    size = config.hidden_size // config.num_attention_heads
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {
        "vision_encoder": write(
            VisionEncoder(model), (torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE),), folder / "vision_encoder.onnx",
            ["pixel_values"], ["image_features"], {"pixel_values": {0: "images"}, "image_features": {0: "images"}},
        ),
        "embed_tokens": write(
            Embedding(model), (torch.ones(2, 5, dtype=torch.long),), folder / "embed_tokens.onnx",
            ["input_ids"], ["inputs_embeds"],
            {"input_ids": {0: "batch", 1: "length"}, "inputs_embeds": {0: "batch", 1: "length"}},
        ),
    }
    past = [f"past_key_values.{i}.{kind}" for i in range(layers) for kind in ("key", "value")]
    present = [f"present.{i}.{kind}" for i in range(layers) for kind in ("key", "value")]
    axes = {
        "inputs_embeds": {0: "batch", 1: "length"}, "attention_mask": {0: "batch", 1: "total_length"},
        "position_ids": {0: "batch", 1: "length"}, "logits": {0: "batch", 1: "length"},
    }
    axes |= {name: {0: "batch", 2: "past_length"} for name in past}
    axes |= {name: {0: "batch", 2: "total_length"} for name in present}
    example = (
        torch.randn(2, 5, config.hidden_size), torch.ones(2, 8, dtype=torch.long), torch.arange(3, 8).repeat(2, 1),
        *[torch.randn(2, heads, 3, size) for _ in past],
    )
    graphs["decoder"] = write(
        Decoder(model), example, folder / "decoder_model_merged.onnx",
        ["inputs_embeds", "attention_mask", "position_ids", *past], ["logits", *present], axes,
    )
    return {name: sorted({node.op_type for node in graph.graph.node}) for name, graph in graphs.items()}


def write_configs(model, tokenizer_file, folder):
    config = model.config.to_dict()
    config["architectures"] = ["LlavaForConditionalGeneration"]
    for name, content in {
        "config.json": config,
        "generation_config.json": {
            "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD, "max_new_tokens": 4, "do_sample": False,
        },
        "preprocessor_config.json": {
            "image_processor_type": "CLIPImageProcessor", "processor_class": "LlavaProcessor",
            "do_convert_rgb": True, "do_resize": True, "size": {"shortest_edge": IMAGE_SIZE}, "resample": 3,
            "do_center_crop": True, "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
            "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
        },
        "processor_config.json": {
            "processor_class": "LlavaProcessor", "image_token": "<image>", "patch_size": PATCH,
            "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "processor_class": "LlavaProcessor",
            "add_bos_token": True, "add_eos_token": False, "model_max_length": 256, "padding_side": "left",
            "clean_up_tokenization_spaces": False,
            "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "image_token": "<image>",
            "added_tokens_decoder": {
                str(i): {"content": text, "lstrip": False, "normalized": False, "rstrip": False,
                         "single_word": False, "special": True} for i, text in enumerate(SPECIALS)
            },
            "chat_template": CHAT_TEMPLATE,
        },
        "tokenizer.json": json.loads(Path(tokenizer_file).read_text()),
    }.items():
        (folder / name).write_text(json.dumps(content, indent=1 if name == "tokenizer.json" else 2, ensure_ascii=False) + "\n")


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

    def embeds(self, ids, pixel_values):
        (features,) = self.vision.run(None, {"pixel_values": pixel_values})
        (embeds,) = self.embed.run(None, {"input_ids": ids})
        embeds[ids == IMAGE] = features.reshape(-1, features.shape[-1])
        return embeds

    def decode(self, embeds, mask, positions, past=None):
        """-> logits, presents"""
        batch = embeds.shape[0]
        if past is None:
            past = [np.zeros((batch, i.shape[1], 0, i.shape[3]), np.float32) for i in self.past]
        feeds = {"inputs_embeds": embeds, "attention_mask": mask, "position_ids": positions}
        feeds |= {i.name: value for i, value in zip(self.past, past)}
        logits, *presents = self.decoder.run(None, feeds)
        return logits, presents


def verify(model, folder):
    """Largest differences of logits: against PyTorch (relative to the largest logit), of removal against masking, of a shared prefix against one pass."""
    exported = Exported(folder)
    rng = np.random.default_rng(0)
    vocabulary = model.config.text_config.vocab_size
    prefix = [BOS, 7, 8, 9, *[IMAGE] * CELLS, 10]
    ids = np.array([prefix + rng.integers(5, vocabulary, 12).tolist() for _ in range(3)])
    pixel_values = rng.normal(size=(3, 3, IMAGE_SIZE, IMAGE_SIZE)).astype(np.float32)
    length, p = ids.shape[1], len(prefix)
    mask = np.ones_like(ids)
    mask[0, [p + 1, p + 4]] = 0
    mask[1, p : p + 9] = 0
    mask[2, 20:30] = 0
    positions = np.broadcast_to(np.arange(length), ids.shape).copy()
    embeds = exported.embeds(ids, pixel_values)
    logits, _ = exported.decode(embeds, mask, positions)
    with torch.no_grad():
        reference = model(
            input_ids=torch.from_numpy(ids), pixel_values=torch.from_numpy(pixel_values),
            attention_mask=torch.from_numpy(mask), position_ids=torch.from_numpy(positions),
        ).logits.numpy()
    kept = mask.astype(bool)
    # Logits reach 35, and float32 on two runtimes differs in their fifth digit.
    result = {"pytorch": np.abs(logits - reference)[kept].max() / np.abs(reference).max()}
    removal = []
    for row in range(3):
        keep = kept[row]
        alone, _ = exported.decode(
            embeds[row : row + 1, keep], np.ones((1, keep.sum()), np.int64), positions[row : row + 1, keep]
        )
        removal.append(np.abs(alone[0] - logits[row, keep]).max())
    result["removal"] = max(removal)
    _, past = exported.decode(embeds[:, :p], mask[:, :p], positions[:, :p])
    suffix, _ = exported.decode(embeds[:, p:], mask, positions[:, p:], past)
    result["prefix"] = np.abs(suffix - logits[:, p:])[kept[:, p:]].max()
    return {name: float(value) for name, value in result.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", type=Path, default=HERE / "work" / "checkpoint")
    parser.add_argument("--out", type=Path, default=HERE / "model")
    arguments = parser.parse_args()
    model = LlavaForConditionalGeneration.from_pretrained(arguments.checkpoint, dtype=torch.float32).eval()
    operators = export(model, arguments.out / "onnx")
    write_configs(model, arguments.checkpoint / "tokenizer.json", arguments.out)
    for name, ops in operators.items():
        print(name, " ".join(ops))
    differences = verify(model, arguments.out / "onnx")
    print(differences)
    if max(differences.values()) > 1e-4:
        raise SystemExit("the exported files do not compute what the checkpoint does")


if __name__ == "__main__":
    main()
