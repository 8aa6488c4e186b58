"""PyTorch autograd on the tiny Qwen2.5-VL and InternVL-3.5 classes that vlm_qwen.py and vlm_internvl.py export.

Gradient of one logit (the greedy next token of the first golden question) with respect to pixels and merged embeddings.
Writes tests/golden/onnx/{qwen,internvl}.json. Usage: python tests/oracles/onnx_other_vlms.py
"""
import json, os, sys
import torch

sys.path.insert(0, os.path.dirname(__file__))
import vlm_internvl, vlm_qwen
from onnx_tiny_llava import encode
from vlm_pixels import picture

OUT = os.path.join(os.path.dirname(__file__), "..", "golden", "onnx")


def gradients(module, name):
    model, processor = module.build()
    size, question, _ = module.questions[0]
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    prompt = processor.apply_chat_template(turns, add_generation_prompt=True)
    inputs = processor(text=prompt, images=picture(*size), return_tensors="pt")
    pixels = inputs.pop("pixel_values").clone().requires_grad_(True)
    kept = []

    def keep(mod, args, kwargs):
        kwargs["inputs_embeds"].retain_grad()
        kept.append(kwargs["inputs_embeds"])

    handle = model.model.language_model.register_forward_pre_hook(keep, with_kwargs=True)
    logits = model(pixel_values=pixels, **inputs).logits
    handle.remove()
    target = int(logits[0, -1].argmax())
    logits[0, -1, target].backward()
    out = {"input_ids": inputs["input_ids"], "pixels": pixels, "grad/pixels": pixels.grad, "embeds": kept[0],
           "grad/embeds": kept[0].grad, "target": torch.tensor([target]), "logit": logits[0, -1, target]}
    print(name, {k: tuple(v.shape) for k, v in out.items()}, float(out["logit"]), float(pixels.grad.abs().max()))
    with open(os.path.join(OUT, name + ".json"), "w") as f:
        json.dump({k: encode(v) for k, v in out.items()}, f)


gradients(vlm_qwen, "qwen")
gradients(vlm_internvl, "internvl")
