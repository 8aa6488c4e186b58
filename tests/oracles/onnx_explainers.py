"""Explanations of one sample of the tiny LLaVA (onnx_tiny_llava.py) by independent computations of the published formulas.

AttnLRP is computed with explicit relevance tensors in float64, one propagation rule per operation and without autograd;
the others with PyTorch autograd on the whole Hugging Face class. Writes tests/golden/onnx/llava/explanations.json.
Usage: python tests/oracles/onnx_explainers.py
"""
import json, math, os
import numpy as np, torch
import torch.nn.functional as F
from onnx_tiny_llava import HIDDEN, IMAGE, LAYERS, OUT, VOCAB, build, encode

FEATURES, GRID, PATCH = 9, 3, 8


def sample():
    g = torch.Generator().manual_seed(11)
    before, after = torch.randint(6, VOCAB, (3,), generator=g), torch.randint(6, VOCAB, (7,), generator=g)
    after[5] = after[1]  # a repeated token
    ids = torch.cat([before, torch.full((FEATURES,), IMAGE), after])[None]
    pixels = torch.randn(1, 3, 24, 24, generator=g)
    base = 0.3 * torch.randn(1, 3, 24, 24, generator=g)
    target = int(torch.randint(6, VOCAB, (1,), generator=g))
    return ids, pixels, base, target


class Run:
    """Forward and backward of one logit, with what the explainers need."""

    def __init__(self, m, ids, pixels, target, embeds=None):
        self.m, self.target = m, target
        pixels = pixels.clone().requires_grad_(True)
        keep = self.keep = {}
        handles = []

        def hook(name, pick):
            def f(mod, a, o):
                t = pick(o)
                t.retain_grad()
                keep[name] = t
            return f

        tower = m.model.vision_tower
        encoder = tower.encoder if hasattr(tower, "encoder") else tower.vision_model.encoder
        first = lambda o: o[0] if isinstance(o, tuple) else o
        for i, layer in enumerate(list(encoder.layers)[:-1]):
            handles.append(layer.self_attn.register_forward_hook(hook(f"va{i}", lambda o: o[1])))
            handles.append(layer.register_forward_hook(hook(f"vh{i}", first)))
        for i, layer in enumerate(m.model.language_model.layers):
            handles.append(layer.self_attn.register_forward_hook(hook(f"a{i}", lambda o: o[1])))
            handles.append(layer.register_forward_hook(hook(f"h{i}", first)))
        text = m.get_input_embeddings()(ids) if embeds is None else embeds
        features = tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        features = m.model.multi_modal_projector(features)
        where = (ids[0] == IMAGE).nonzero()[:, 0]
        merged = text.clone()
        merged[0, where] = features[0]
        merged.retain_grad()
        out = m.model.language_model(inputs_embeds=merged, attention_mask=torch.ones_like(ids),
                                     position_ids=torch.arange(ids.shape[1])[None])
        self.logits = m.lm_head(out.last_hidden_state)
        self.logit = self.logits[0, -1, target]
        self.logit.backward()
        self.pixels, self.embeds = pixels, merged
        for h in handles:
            h.remove()


def per_patch(t):
    """[3, 24, 24] summed over channels and the pixels of each patch."""
    return t.sum(0).reshape(GRID, PATCH, GRID, PATCH).sum((1, 3)).reshape(-1)


def rollout(maps, seen, where, players_text, normalise):
    """Full matrices, unlike the tested code: R <- A' R over layers."""
    def chain(layers):
        R = torch.eye(layers[0].shape[-1], dtype=torch.float64)
        for A in layers:
            A = A.double() + torch.eye(A.shape[-1], dtype=torch.float64)
            R = (A / A.sum(-1, keepdim=True) if normalise else A) @ R
        return R
    R = chain(maps)
    V = chain(seen)
    return (R[-1, where] @ V[1:, 1:]), R[-1, players_text]


def cam(features, gradient, rows):
    w = gradient[rows].mean(0)
    return F.relu(features[rows] @ w)


def rank_filter(a):
    a = a.reshape(GRID, GRID)
    p = F.pad(a[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    out = torch.zeros_like(a)
    for i in range(GRID):
        for j in range(GRID):
            w = p[i:i + 3, j:j + 3].reshape(-1).sort().values
            width = float(w.std(unbiased=False) / w.mean()) if w.mean() > 0 else 0.0
            if width == 0:
                out[i, j] = w[4]
            else:
                k = torch.exp(-(torch.arange(9.0, dtype=torch.float64) - 4) ** 2 / (2 * width ** 2))
                out[i, j] = (k * w).sum() / k.sum()
    return out.reshape(-1)


def tam(run, ids, where, players_text):
    logits = F.relu(run.logits[0].detach().double())
    target = run.target
    A = logits[where, target]
    context = [p for p in range(int(where.max()) + 1, ids.shape[1]) if int(ids[0, p]) != target]
    inter = sum(logits[p, target] * logits[where, int(ids[0, p])] for p in context)
    a = max(0.0, float((A @ inter) / (inter @ inter))) if float(inter @ inter) > 0 else 0.0
    A = F.relu(A - a * inter)
    text = logits[players_text, target]
    everything = torch.cat([A, text])
    low, span = everything.min(), everything.max() - everything.min()
    return rank_filter((A - low) / span), (text - low) / span


# --- AttnLRP with explicit relevance tensors ------------------------------------------------------------------------

TINY = 1e-14


def per(R, y):
    """Relevance per unit of activation (epsilon rule)."""
    return R / (y + TINY * torch.where(y >= 0, 1.0, -1.0))


def linear(layer, x):
    return x @ layer.weight.t() + (0 if layer.bias is None else layer.bias)


def linear_R(layer, x, R):
    return x * (per(R, linear(layer, x)) @ layer.weight)


def norm_R(layer, x, R, y):
    """LayerNorm with a constant deviation is a linear map with a bias."""
    inv = 1 / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + layer.eps)
    t = per(R, y) * layer.weight * inv
    return x * (t - t.mean(-1, keepdim=True))


def rms(layer, x):
    return layer.weight * x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + layer.variance_epsilon)


def attention_R(q, k, v, scale, mask, R):
    """q, k, v and R of the result, [heads, tokens, size] -> relevance of q, k, v."""
    S = scale * q @ k.transpose(1, 2) + mask
    P = S.softmax(-1)
    O = P @ v
    r = per(R, 2 * O)  # two factors: half each
    RP, Rv = P * (r @ v.transpose(1, 2)), v * (P.transpose(1, 2) @ r)
    raw = scale * q @ k.transpose(1, 2)
    # Softmax as its linearisation around the scores: R_S = S * (R_P - P * sum R_P); the mask adds no relevance.
    RS = raw * (RP - P * RP.sum(-1, keepdim=True))
    s = per(RS, 2 * raw) * scale
    return q * (s @ k), k * (s.transpose(1, 2) @ q), Rv, O


def heads(x, n):
    return x.reshape(x.shape[0], n, -1).transpose(0, 1)


def joined(x):
    return x.transpose(0, 1).reshape(x.shape[1], -1)


def decoder_R(m, x, target):
    lm = m.model.language_model
    n_heads, n_kv = lm.config.num_attention_heads, lm.config.num_key_value_heads
    n = x.shape[0]
    angle = torch.arange(n, dtype=torch.float64)[:, None] * lm.rotary_emb.inv_freq.double()[None]
    cos, sin = torch.cat([angle, angle], -1).cos(), torch.cat([angle, angle], -1).sin()
    half = cos.shape[-1] // 2
    turn = lambda t: torch.cat([-t[..., half:], t[..., :half]], -1)
    back = lambda t: torch.cat([t[..., half:], -t[..., :half]], -1)
    mask = torch.full((n, n), -1e30, dtype=torch.float64).triu(1)
    tape = []
    for layer in lm.layers:
        a = layer.self_attn
        n1 = rms(layer.input_layernorm, x)
        q0, k0, v0 = heads(linear(a.q_proj, n1), n_heads), heads(linear(a.k_proj, n1), n_kv), heads(linear(a.v_proj, n1), n_kv)
        q, k = q0 * cos + turn(q0) * sin, k0 * cos + turn(k0) * sin
        K, V = k.repeat_interleave(n_heads // n_kv, 0), v0.repeat_interleave(n_heads // n_kv, 0)
        O = joined(((q @ K.transpose(1, 2)) * a.scaling + mask).softmax(-1) @ V)
        att = linear(a.o_proj, O)
        x2 = x + att
        n2 = rms(layer.post_attention_layernorm, x2)
        gate, up = linear(layer.mlp.gate_proj, n2), linear(layer.mlp.up_proj, n2)
        product = F.silu(gate) * up
        x3 = x2 + linear(layer.mlp.down_proj, product)
        tape.append((layer, x, n1, q0, k0, v0, q, k, K, V, O, att, x2, n2, gate, up, product, x3))
        x = x3
    final = rms(lm.norm, x)
    logits = linear(m.lm_head, final)
    R = torch.zeros_like(logits)
    R[-1, target] = logits[-1, target]
    R = linear_R(m.lm_head, final, R)
    for layer, x, n1, q0, k0, v0, q, k, K, V, O, att, x2, n2, gate, up, product, x3 in reversed(tape):
        a = layer.self_attn
        u = per(R, x3)
        R2 = x2 * u
        Rp = linear_R(layer.mlp.down_proj, product, (x3 - x2) * u)
        R2 = R2 + linear_R(layer.mlp.gate_proj, n2, Rp / 2) + linear_R(layer.mlp.up_proj, n2, Rp / 2)
        u = per(R2, x2)
        R, RO = x * u, linear_R(a.o_proj, O, att * u)
        Rq, RK, RV, _ = attention_R(q, K, V, a.scaling, mask, heads(RO, n_heads))
        fold = lambda t: t.reshape(n_kv, n_heads // n_kv, *t.shape[1:]).sum(1)

        def unturn(z, zr, Rz):
            r = per(Rz, zr)
            return z * (r * cos + back(r * sin))
        R = (R + linear_R(a.q_proj, n1, joined(unturn(q0, q, Rq))) + linear_R(a.k_proj, n1, joined(unturn(k0, k, fold(RK))))
             + linear_R(a.v_proj, n1, joined(fold(RV))))
    return R


def vision_R(m, pixels, R_features):
    """R_features [features, hidden] -> relevance of the pixels [3, height, width]."""
    tower, proj = m.model.vision_tower, m.model.multi_modal_projector
    tower = tower.vision_model if hasattr(tower, "vision_model") else tower
    e, n, size = tower.embeddings, tower.config.num_attention_heads, tower.config.patch_size
    W = e.patch_embedding.weight
    patches = F.unfold(pixels, size, stride=size)[0].t()
    embedded = patches @ W.reshape(W.shape[0], -1).t()
    tokens = torch.cat([e.class_embedding[None], embedded], 0)
    z = tokens + e.position_embedding.weight
    ln = lambda layer, t: F.layer_norm(t, t.shape[-1:], layer.weight, layer.bias, layer.eps)
    x = ln(tower.pre_layrnorm, z)
    quick = lambda t: t * torch.sigmoid(1.702 * t)
    tape = []
    layers = list(tower.encoder.layers)
    for layer in layers[: len(layers) + 1 + m.config.vision_feature_layer]:
        a = layer.self_attn
        n1 = ln(layer.layer_norm1, x)
        q, k, v = (heads(linear(p, n1), n) for p in (a.q_proj, a.k_proj, a.v_proj))
        O = joined(((q @ k.transpose(1, 2)) * a.scale).softmax(-1) @ v)
        att = linear(a.out_proj, O)
        x2 = x + att
        n2 = ln(layer.layer_norm2, x2)
        h = linear(layer.mlp.fc1, n2)
        mlp = linear(layer.mlp.fc2, quick(h))
        x3 = x2 + mlp
        tape.append((layer, x, n1, q, k, v, O, att, x2, n2, h, mlp, x3))
        x = x3
    sel = x[1:]
    h = linear(proj.linear_1, sel)
    R = linear_R(proj.linear_2, F.gelu(h), R_features)
    R = linear_R(proj.linear_1, sel, R)
    R = torch.cat([torch.zeros(1, R.shape[1], dtype=R.dtype), R], 0)
    for layer, x, n1, q, k, v, O, att, x2, n2, h, mlp, x3 in reversed(tape):
        a = layer.self_attn
        u = per(R, x3)
        R2 = x2 * u
        Rh = linear_R(layer.mlp.fc2, quick(h), mlp * u)
        R2 = R2 + norm_R(layer.layer_norm2, x2, linear_R(layer.mlp.fc1, n2, Rh), n2)
        u = per(R2, x2)
        R = x * u
        Rq, Rk, Rv, _ = attention_R(q, k, v, a.scale, torch.zeros(1, dtype=R.dtype), heads(linear_R(a.out_proj, O, att * u), n))
        Rn = linear_R(a.q_proj, n1, joined(Rq)) + linear_R(a.k_proj, n1, joined(Rk)) + linear_R(a.v_proj, n1, joined(Rv))
        R = R + norm_R(layer.layer_norm1, x, Rn, n1)
    R = norm_R(tower.pre_layrnorm, z, R, ln(tower.pre_layrnorm, z))
    R = tokens * per(R, z)
    flat = W.reshape(W.shape[0], -1)
    Rp = patches * (per(R[1:], embedded) @ flat)
    return F.fold(Rp.t()[None], pixels.shape[-2:], size, stride=size)[0]


def attnlrp(m, ids, pixels, target):
    double = build().double()
    double.load_state_dict(m.state_dict())
    with torch.no_grad():
        px = pixels.double()
        tower = double.model.vision_tower
        feats = double.model.multi_modal_projector(tower(px, output_hidden_states=True).hidden_states[-2][:, 1:])[0]
        where = (ids[0] == IMAGE).nonzero()[:, 0]
        x = double.get_input_embeddings()(ids)[0].clone()
        x[where] = feats
        R = decoder_R(double, x, target)
        return vision_R(double, px, R[where]), R


def main():
    m = build()
    ids, pixels, base, target = sample()
    where = (ids[0] == IMAGE).nonzero()[:, 0]
    text = torch.arange(int(where.max()) + 1, ids.shape[1])
    run = Run(m, ids, pixels, target)
    out = {"ids": ids[0], "pixels": pixels, "baseline": base, "logit": run.logit, "target": torch.tensor([target]),
           "text_positions": text}

    def put(name, image, words):
        out[name + "/image"], out[name + "/text"] = image, words

    k = run.keep
    put("input-x-gradient", per_patch((run.pixels * run.pixels.grad)[0]), (run.embeds * run.embeds.grad)[0].sum(-1)[text])

    steps, gp, ge = 8, 0, 0
    absent_ids = ids.clone()
    absent_ids[0, text] = 0
    table = m.get_input_embeddings().weight.detach()
    e1, e0 = table[ids], table[absent_ids]
    for s in range(steps):
        t = (s + 0.5) / steps
        r = Run(m, ids, base + t * (pixels - base), target, (e0 + t * (e1 - e0)))
        gp, ge = gp + r.pixels.grad.double() / steps, ge + r.embeds.grad.double() / steps
    put("integrated-gradients-joint", per_patch((gp * (pixels - base))[0]), (ge * (e1 - e0))[0].sum(-1)[text])
    out["integrated-gradients-joint/difference"] = (Run(m, ids, pixels, target).logit - Run(m, ids, base, target, e0).logit)

    # One modality at a time; the words' steps are even in the fourth root of their place on the path.
    gp, ge = 0, 0
    for s in range(steps):
        gp = gp + Run(m, ids, base + (s + 0.5) / steps * (pixels - base), target, e1).pixels.grad.double() / steps
        t, width = ((s + 0.5) / steps) ** 4, ((s + 1) / steps) ** 4 - (s / steps) ** 4
        ge = ge + Run(m, ids, pixels, target, e0 + t * (e1 - e0)).embeds.grad.double() * width
    put("integrated-gradients", per_patch((gp * (pixels - base))[0]), (ge * (e1 - e0))[0].sum(-1)[text])
    out["integrated-gradients/image-difference"] = run.logit - Run(m, ids, base, target, e1).logit
    out["integrated-gradients/text-difference"] = run.logit - Run(m, ids, pixels, target, e0).logit

    put("grad-cam", cam(k["vh1"][0], k["vh1"].grad[0], torch.arange(1, FEATURES + 1)), cam(k["h0"][0], k["h0"].grad[0], text))
    put("llava-cam", cam(k["h0"][0], k["h0"].grad[0], where), cam(k["h0"][0], k["h0"].grad[0], text))
    mean = lambda names: [k[x][0].detach().mean(0) for x in names]
    put("rollout", *rollout(mean(["a0", "a1"]), mean(["va0", "va1"]), where, text, True))
    weighted = lambda names: [F.relu(k[x][0] * k[x].grad[0]).detach().mean(0) for x in names]
    put("grad-rollout", *rollout(weighted(["a0", "a1"]), weighted(["va0", "va1"]), where, text, False))
    put("tam", *tam(run, ids, where, text))
    R_pixels, R = attnlrp(m, ids, pixels, target)
    put("attn-lrp", per_patch(R_pixels), R.sum(-1)[text])
    out["attn-lrp/pixels"], out["attn-lrp/embeddings"] = R_pixels, R
    for name, v in out.items():
        if name.endswith(("image", "text")):
            print(name, np.round(v.detach().double().numpy(), 4))
    print("logit", float(run.logit), "relevance of embeddings", float(R.sum()))
    with open(os.path.join(OUT, "explanations.json"), "w") as f:
        json.dump({n: encode(v) for n, v in out.items()}, f)


if __name__ == "__main__":
    main()
