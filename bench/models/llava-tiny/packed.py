"""Many question-answer turns behind one image prefix, computed without waste.

Every turn attends to the prefix and to itself, and its positions go on from the prefix: exactly what it would see alone.
The prefix runs once per image; the last layer runs only where an answer is read. The weights are those of the Hugging Face
module, and `check` compares with its forward pass.
"""

import numpy as np
import torch
import torch.nn.functional as F

from model import CELLS, IMAGE, PAD

# Turns are left-padded to one of these lengths, which hold the longest question of their kind.
SHORT, LONG = 14, 18
# The last positions of a turn: the colon, the answer.
READ = 2


def draw_hidden(rng, players, none, everything):
    """Which players are absent: none, all, or a share drawn anew for every sample."""
    kind = rng.random()
    if kind < none:
        return np.zeros(players, bool)
    if kind < none + everything:
        return np.ones(players, bool)
    return rng.random(players) < rng.random()


class Packer:
    def __init__(self, tokenizer):
        head = tokenizer.encode("USER: <image>\n").ids
        at = head.index(IMAGE)
        self.prefix = head[:at] + [IMAGE] * CELLS + head[at + 1 :]
        self.tokenizer = tokenizer
        self.tail = self._encode(" ASSISTANT:")
        self.cache = {}

    def _encode(self, text):
        return self.tokenizer.encode("<image>" + text, add_special_tokens=False).ids[1:]

    def encode(self, text):
        """Ids of a piece of the prompt that follows the image."""
        if text not in self.cache:
            self.cache[text] = self._encode(text)
        return self.cache[text]

    def turn(self, question, answer, rng, masking):
        """-> ids, key flags (False: taken out of attention), share of question tokens replaced."""
        words = self.encode(question)
        gone = draw_hidden(rng, len(words), 0.4, 0.12) if masking else np.zeros(len(words), bool)
        attended = rng.random() < 0.2
        (target,) = self.encode(" " + answer)
        ids = [PAD if g else w for w, g in zip(words, gone)] + self.tail + [target]
        keys = [attended or not g for g in gone] + [True] * (len(self.tail) + 1)
        return ids, keys, gone.mean()

    def groups(self, turns_of_scenes, counts, rng, masking):
        """Sorts the turns of every scene into a short and a long group of fixed size; missing turns have length 0."""
        result = []
        for length, count in zip((SHORT, LONG), counts):
            if count == 0:
                continue
            scenes = len(turns_of_scenes)
            ids = np.full((scenes, count, length), PAD)
            keys = np.zeros((scenes, count, length), bool)
            sizes = np.zeros((scenes, count), int)
            infos = []
            for s, turns in enumerate(turns_of_scenes):
                fitting = [t for t in turns if (len(self.encode(t[0])) + 3 > SHORT) == (length == LONG)][:count]
                for t, (question, answer, form) in enumerate(fitting):
                    turn, flags, gone = self.turn(question, answer, rng, masking)
                    n = len(turn)
                    ids[s, t, length - n :] = turn
                    keys[s, t, length - n :] = flags
                    sizes[s, t] = n
                    infos.append((s, t, form, gone))
            result.append(Group(ids, keys, sizes, len(self.prefix), infos))
        return result


class Group:
    """Turns [scenes, count, length]: ids, positions and the additive mask among the turn's own tokens."""

    def __init__(self, ids, keys, sizes, prefix, infos):
        self.infos = infos
        self.ids = torch.from_numpy(ids)
        length = ids.shape[2]
        self.positions = torch.from_numpy(np.maximum(np.arange(length) - (length - sizes[..., None]), 0) + prefix)
        allowed = torch.from_numpy(keys)[:, None, :, None, :] & torch.ones(length, length, dtype=torch.bool).tril()
        self.bias = torch.zeros(allowed.shape).masked_fill(~allowed, -1e9)
        where = [(s, t) for s, t, _, _ in infos]
        self.where = torch.tensor(where, dtype=torch.long).reshape(-1, 2)
        self.targets = self.ids[self.where[:, 0], self.where[:, 1], -1]


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def run(model, features, prefix_ids, groups):
    """features [B, 64, D] -> for each group the normalised last states [B, T, READ, D] at the last positions."""
    language = model.model.language_model
    config = language.config
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    embed = language.embed_tokens
    b, p = features.shape[0], len(prefix_ids)
    ids = torch.tensor(prefix_ids)
    x = embed(ids)[None].repeat(b, 1, 1)
    image = (ids == IMAGE).nonzero()[:, 0]
    x = torch.cat([x[:, : image[0]], features, x[:, image[-1] + 1 :]], 1)
    parts = [x.reshape(b * p, -1), *[embed(g.ids).flatten(0, 2) for g in groups]]
    shapes = [(b, p), *[g.ids.shape for g in groups]]
    cos, sin = language.rotary_emb(x, torch.arange(p + LONG)[None])
    cos, sin = cos[0], sin[0]
    turn_rope = [(cos[g.positions][:, None], sin[g.positions][:, None]) for g in groups]
    scale = size**-0.5

    def split(y, shape):
        """[N, D] -> [B, heads, ..., size]"""
        return y.view(*shape, heads, size).movedim(-2, 1)

    for number, layer in enumerate(language.layers):
        last = number == len(language.layers) - 1
        attention = layer.self_attn
        lengths = [part.shape[0] for part in parts]
        normed = layer.input_layernorm(torch.cat(parts))
        keys, values = attention.k_proj(normed).split(lengths), attention.v_proj(normed).split(lengths)
        queries = attention.q_proj(normed).split(lengths)
        kp = rotate(split(keys[0], shapes[0]), cos[:p], sin[:p])
        vp = split(values[0], shapes[0])
        mixed = []
        if not last:
            qp = rotate(split(queries[0], shapes[0]), cos[:p], sin[:p])
            # In float32: the backward pass of this kernel is several times slower in bfloat16.
            with torch.autocast("cpu", enabled=False):
                out = F.scaled_dot_product_attention(qp.float(), kp.float(), vp.float(), is_causal=True)
            mixed.append(out.movedim(1, -2).reshape(b * p, -1))
        for i, group in enumerate(groups, 1):
            q, k, v = (split(y[i], shapes[i]) for y in (queries, keys, values))
            rope = turn_rope[i - 1]
            q, k = rotate(q, *rope) * scale, rotate(k, *rope)
            bias = group.bias
            if last:
                q, bias = q[..., -READ:, :], bias[..., -READ:, :]
            t, l = q.shape[2:4]
            to_prefix = (q.reshape(b, heads, t * l, size) @ kp.mT).view(b, heads, t, l, p)
            weights = torch.cat([to_prefix.float(), (q @ k.mT).float() + bias], -1).softmax(-1)
            near = weights[..., :p].reshape(b, heads, t * l, p) @ vp
            out = near.view(b, heads, t, l, size) + weights[..., p:] @ v
            mixed.append(out.movedim(1, -2).reshape(b * t * l, -1))
        if last:
            parts = [part.view(*g.ids.shape, -1)[:, :, -READ:].flatten(0, 2) for part, g in zip(parts[1:], groups)]
        lengths = [part.shape[0] for part in parts]
        x = torch.cat(parts) + attention.o_proj(torch.cat(mixed))
        x = x + layer.mlp(layer.post_attention_layernorm(x))
        parts = x.split(lengths)
    return [language.norm(part).view(b, g.ids.shape[1], READ, -1) for part, g in zip(parts, groups)]


def check(model, tokenizer, scene, seed=0):
    """Largest difference of logits between `run` and the Hugging Face forward pass, turn by turn, masks included."""
    from model import normalise

    pixels, _, turns = scene
    packer = Packer(tokenizer)
    groups = packer.groups([turns], (6, 2), np.random.default_rng(seed), True)
    worst = 0.0
    with torch.no_grad():
        states = model.model.vision_tower(normalise(pixels[None]), output_hidden_states=True).hidden_states[-1][:, 1:]
        outputs = run(model, model.model.multi_modal_projector(states), packer.prefix, groups)
        for group, out in zip(groups, outputs):
            for s, t, _, _ in group.infos:
                n = int(group.positions[s, t, -1]) - len(packer.prefix) + 1
                ids = torch.tensor([packer.prefix + group.ids[s, t, -n:].tolist()])
                keys = torch.ones_like(ids)
                keys[0, -n:] = group.bias[s, 0, t, -1, -n:] == 0
                reference = model(
                    input_ids=ids, pixel_values=normalise(pixels[None]), attention_mask=keys,
                    position_ids=torch.arange(ids.shape[1])[None],
                ).logits[0, -2:]
                worst = max(worst, (model.lm_head(out[s, t, -2:]) - reference).abs().max().item())
    return worst
