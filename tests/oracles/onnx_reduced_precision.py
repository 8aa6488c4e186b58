"""Gradients of the tiny LLaVA in reduced precision: PyTorch autograd of the whole class on the weights that the files hold.

4 bits: all constant matrix products of vision tower and decoder quantised by ONNX Runtime's own quantiser in blocks of 32, the vision tower
symmetrically as published q4 files are, the decoder (the one with GroupQueryAttention) with zero points. 16 bits: the files of vlm_variants.py; the exporter
rounds the constants of the arithmetic, too, and so does the class here.

Run after vlm_llava.py, vlm_gqa.py and vlm_variants.py. Writes tests/golden/onnx/reduced/*_q4.onnx, q4.json and fp16.json.
Usage: python tests/oracles/onnx_reduced_precision.py   (torch 2.13, transformers 5.18, onnxruntime 1.30)
"""
import json, os
import numpy as np, onnx, torch
from onnx import numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from onnx_tiny_llava import encode, strip
from vlm_llava import build, golden, questions
from vlm_pixels import picture

OUT = golden / "onnx" / "reduced"
BLOCK = 32


def quantise(source, target, symmetric):
    quantizer = MatMulNBitsQuantizer(onnx.load(source), bits=4, block_size=BLOCK, is_symmetric=symmetric)
    quantizer.process()
    onnx.save(quantizer.model.model, target)
    strip(target)


def attribute(node, name):
    return next(a.i for a in node.attribute if a.name == name)


def dequantised(path):
    """Weight matrix [K, N] of every MatMulNBits by the name of the tensor it was made from."""
    odd = set()
    model = onnx.load(path)
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type != "MatMulNBits":
            continue
        rows, columns = attribute(node, "N"), attribute(node, "K")
        packed, scales = tensors[node.input[1]], tensors[node.input[2]].reshape(rows, -1, 1)
        blocks = scales.shape[1]
        unpack = lambda b: np.stack([b & 15, b >> 4], -1).astype(np.float32)
        zeros = np.float32(8)
        if len(node.input) > 3 and node.input[3]:  # two a byte, each row in whole bytes
            zeros = unpack(tensors[node.input[3]].reshape(rows, -1)).reshape(rows, -1, 1)[:, :blocks]
            odd.add(blocks % 2)
        weight = ((unpack(packed).reshape(rows, blocks, BLOCK) - zeros) * scales).reshape(rows, -1)[:, :columns]
        found[node.input[1].rsplit("_Q4", 1)[0]] = weight.T
    print(path.name, "zero points, odd numbers of blocks:", sorted(odd))
    return found


def put(model, source, weights):
    """Replaces the parameters that the original file's tensors were made from; returns how many."""
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(source).graph.initializer}
    parameters, count = list(model.parameters()), 0
    for name, weight in weights.items():
        original = torch.from_numpy(tensors[name].T.copy())
        matches = [p for p in parameters if p.shape == original.shape and torch.equal(p, original)]
        assert len(matches) == 1, name
        with torch.no_grad():
            matches[0].copy_(torch.from_numpy(weight.T.copy()))
        count += 1
    return count


def halve(model):
    """Parameters, buffers and the constants of scaling and of both activations as the half-precision files have them."""
    half = lambda value: float(torch.tensor(value).half())
    for module in model.half().float().modules():
        for name in ("scaling", "scale"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, half(getattr(module, name)))
        if module.__class__.__name__ == "QuickGELUActivation":
            module.forward = lambda x: x * torch.sigmoid(half(1.702) * x)
        if module.__class__.__name__ == "GELUActivation":
            module.forward = lambda x: x * 0.5 * (1 + torch.erf(x / half(2**0.5)))


def gradients(model, processor, name):
    size, question, _ = questions[0]
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    prompt = processor.apply_chat_template(turns, add_generation_prompt=True)
    inputs = processor(text=prompt, images=picture(*size), return_tensors="pt")
    pixels = inputs.pop("pixel_values").clone().requires_grad_(True)
    kept = []

    def keep(module, args, kwargs):
        kwargs["inputs_embeds"].retain_grad()
        kept.append(kwargs["inputs_embeds"])

    model.model.language_model.register_forward_pre_hook(keep, with_kwargs=True)
    logits = model(pixel_values=pixels, **inputs).logits
    target = int(logits[0, -1].argmax())
    logits[0, -1, target].backward()
    out = {"input_ids": inputs["input_ids"], "pixels": pixels, "grad/pixels": pixels.grad, "embeds": kept[0],
           "grad/embeds": kept[0].grad, "target": torch.tensor([target]), "logit": logits[0, -1, target]}
    print(name, {k: tuple(v.shape) for k, v in out.items()}, float(out["logit"]), float(pixels.grad.abs().max()))
    with open(OUT / f"{name}.json", "w") as f:
        json.dump({k: encode(v) for k, v in out.items()}, f)


def main():
    OUT.mkdir(exist_ok=True)
    model, processor = build()
    original = golden / "vlm-llava" / "onnx"
    sources = {"vision_encoder": original / "vision_encoder.onnx",
               "decoder_model_merged": golden / "vlm-variants" / "decoder_gqa.onnx"}
    for part, source in sources.items():
        target = OUT / f"{part}_q4.onnx"
        quantise(source, target, symmetric=part == "vision_encoder")
        print(part, put(model, source, dequantised(target)), "matrices,", os.path.getsize(target), "bytes")
    gradients(model, processor, "q4")
    model, processor = build()
    halve(model)
    gradients(model, processor, "fp16")


if __name__ == "__main__":
    main()
