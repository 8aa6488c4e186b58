"""Many question-answer turns behind one image prefix, computed without waste.

Every turn attends to the prefix and to itself, and its positions go on from the prefix: exactly what it would see alone.
The prefix runs once per image; the last layer runs only where an answer is read. The weights are those of the Hugging Face
module, and `check` compares with its forward pass.
"""

import numpy as np
import torch
import torch.nn.functional as F

from stream import CELLS

# Turns are left-padded to one of these lengths, which hold the longest question of their kind.
SHORT, LONG = 14, 18
# The last positions of a turn: the end of the prompt, the answer.
READ = 2


def draw_hidden(rng, players, none, everything):
    """Which players are absent: none, all, or a share drawn anew for every sample."""
    kind = rng.random()
    if kind < none:
        return np.zeros(players, bool)
    if kind < none + everything:
        return np.ones(players, bool)
    return rng.random(players) < rng.random()


class Prompts:
    """Token ids of a family's prompts. `head` holds -1 for every visual token."""

    def __init__(self, family, tokenizer):
        self.family, self.tokenizer = family, tokenizer
        image = tokenizer.token_to_id(family.image_token)
        whole = self._ids("x")
        mark = self._ids("y")
        # The one place where the two differ is the question.
        at = next(i for i, (a, b) in enumerate(zip(whole, mark)) if a != b)
        head, self.tail = whole[:at], whole[at + 1 :]
        place = head.index(image)
        self.length = len(head)
        self.head = head[:place] + [-1] * CELLS + head[place + 1 :]
        self.image = image
        self.pad, self.end = tokenizer.token_to_id(family.pad), tokenizer.token_to_id(family.end)
        self.cache = {}

    def _ids(self, question, answer=""):
        text = self.family.head + question + self.family.tail + answer
        return self.tokenizer.encode(text).ids

    def question(self, text):
        """Ids of a question."""
        if text not in self.cache:
            ids = self._ids(text)
            if ids[len(ids) - len(self.tail) :] != self.tail:
                raise ValueError(f"the end of {text!r} is fused with the template")
            self.cache[text] = ids[self.length : len(ids) - len(self.tail)]
        return self.cache[text]

    def answer(self, text):
        """The id of an answer, which is one token."""
        key = ("answer", text)
        if key not in self.cache:
            (self.cache[key],) = self._ids("x", self.family.answer + text)[len(self._ids("x")) :]
        return self.cache[key]

    def word(self, text):
        """The id of a word within a question."""
        return self.question(f"x {text}?")[1]


class Packer:
    def __init__(self, prompts):
        self.prompts = prompts

    def turn(self, question, answer, rng, masking):
        """-> ids, key flags (False: taken out of attention), share of question tokens replaced."""
        words = self.prompts.question(question)
        gone = draw_hidden(rng, len(words), 0.4, 0.12) if masking else np.zeros(len(words), bool)
        attended = rng.random() < 0.2
        ids = [self.prompts.pad if g else w for w, g in zip(words, gone)]
        ids += [*self.prompts.tail, self.prompts.answer(answer)]
        keys = [attended or not g for g in gone] + [True] * (len(self.prompts.tail) + 1)
        return ids, keys, gone.mean()

    def groups(self, turns_of_scenes, counts, rng, masking):
        """Sorts the turns of every scene into a short and a long group of fixed size; missing turns have length 0."""
        result = []
        extra = len(self.prompts.tail) + 1
        for length, count in zip((SHORT, LONG), counts):
            if count == 0:
                continue
            room = length - 3 + extra
            scenes = len(turns_of_scenes)
            ids = np.full((scenes, count, room), self.prompts.pad)
            keys = np.zeros((scenes, count, room), bool)
            sizes = np.zeros((scenes, count), int)
            infos = []
            for s, turns in enumerate(turns_of_scenes):
                fitting = [t for t in turns if (len(self.prompts.question(t[0])) + 3 > SHORT) == (length == LONG)]
                for t, (question, answer, form) in enumerate(fitting[:count]):
                    turn, flags, gone = self.turn(question, answer, rng, masking)
                    n = len(turn)
                    ids[s, t, room - n :] = turn
                    keys[s, t, room - n :] = flags
                    sizes[s, t] = n
                    infos.append((s, t, form, gone))
            result.append(Group(ids, keys, sizes, infos))
        return result


class Group:
    """Turns [scenes, count, length]: ids, places after the prefix and the additive mask among the turn's own tokens."""

    def __init__(self, ids, keys, sizes, infos):
        self.infos, self.sizes = infos, sizes
        self.ids = torch.from_numpy(ids)
        length = ids.shape[2]
        self.places = torch.from_numpy(np.maximum(np.arange(length) - (length - sizes[..., None]), 0))
        allowed = torch.from_numpy(keys)[:, None, :, None, :] & torch.ones(length, length, dtype=torch.bool).tril()
        self.bias = torch.zeros(allowed.shape).masked_fill(~allowed, -1e9)
        where = [(s, t) for s, t, _, _ in infos]
        self.where = torch.tensor(where, dtype=torch.long).reshape(-1, 2)
        self.targets = self.ids[self.where[:, 0], self.where[:, 1], -1]


def angle_tables(language, positions):
    """Cosines and sines [..., length, size of a head] of positions [..., length], or [3, ..., length] for M-RoPE."""
    angles = positions[..., None].float() * language.rotary_emb.inv_freq
    sections = (language.config.rope_parameters or {}).get("mrope_section")
    if sections:
        angles = torch.cat([part[i] for i, part in enumerate(angles.split(sections, -1))], -1)
    angles = torch.cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class Pass:
    """One forward pass. `outputs`: for each group the normalised last states [B, T, READ, D] at the last positions;
    `normed`, `entering`: for each layer its normalised and its plain input, prefix and groups one after the other [N, D].
    """

    def __init__(self, model, features, prompts, groups):
        language = model.model.language_model
        config = language.config
        heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
        embed = language.embed_tokens
        b, p = features.shape[0], len(prompts.head)
        ids = torch.tensor(prompts.head)
        x = embed(ids.clamp(min=0))[None].repeat(b, 1, 1)
        image = (ids < 0).nonzero()[:, 0]
        x = torch.cat([x[:, : image[0]], features, x[:, image[-1] + 1 :]], 1)
        parts = [x.reshape(b * p, -1), *[embed(g.ids).flatten(0, 2) for g in groups]]
        shapes = [(b, p), *[g.ids.shape for g in groups]]
        longest = max(g.ids.shape[2] for g in groups)
        positions = prompts.family.positions(prompts.head, longest)
        # M-RoPE has three axes; elsewhere there is one.
        cos, sin = angle_tables(language, positions if len(positions) == 3 else positions[0])
        turn_rope = [(cos[p + g.places][:, None], sin[p + g.places][:, None]) for g in groups]
        cos, sin = cos[:p], sin[:p]
        scale = size**-0.5
        self.normed, self.entering = [], []

        def split(y, shape):
            """[N, D] -> [B, heads, ..., size]"""
            return y.view(*shape, heads, size).movedim(-2, 1)

        for number, layer in enumerate(language.layers):
            last = number == len(language.layers) - 1
            attention = layer.self_attn
            lengths = [part.shape[0] for part in parts]
            self.entering.append(torch.cat(parts))
            normed = layer.input_layernorm(self.entering[-1])
            self.normed.append(normed)
            keys, values = attention.k_proj(normed).split(lengths), attention.v_proj(normed).split(lengths)
            queries = attention.q_proj(normed).split(lengths)
            kp = rotate(split(keys[0], shapes[0]), cos, sin)
            vp = split(values[0], shapes[0])
            mixed = []
            if not last:
                qp = rotate(split(queries[0], shapes[0]), cos, sin)
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
        self.outputs = [language.norm(part).view(b, g.ids.shape[1], READ, -1) for part, g in zip(parts, groups)]


def forward(model, features, prompts, ids, keys):
    """The Hugging Face decoder on whole sequences: ids [n, L] (-1: visual token), keys [n, L] -> logits [n, L, V]."""
    ids, keys = torch.as_tensor(ids), torch.as_tensor(keys).long()
    embeds = model.get_input_embeddings()(ids.clamp(min=0)).masked_scatter((ids < 0)[..., None], features)
    positions = prompts.family.positions(prompts.head, ids.shape[1] - len(prompts.head))
    positions = positions[0] if len(positions) == 1 else positions[:, None]
    positions = positions.expand(*positions.shape[:-2], len(ids), -1) if positions.ndim > 1 else positions[None].expand(len(ids), -1)
    states = model.model.language_model(
        inputs_embeds=embeds, attention_mask=keys, position_ids=positions, use_cache=False
    ).last_hidden_state
    return model.lm_head(states)


def check(model, prompts, features, turns, seed=0):
    """Largest difference of logits between `Pass` and the Hugging Face forward pass, turn by turn, masks included."""
    packer = Packer(prompts)
    groups = packer.groups([turns], (6, 2), np.random.default_rng(seed), True)
    worst = 0.0
    with torch.no_grad():
        for group, out in zip(groups, Pass(model, features, prompts, groups).outputs):
            for s, t, _, _ in group.infos:
                n = int(group.sizes[s, t])
                ids = torch.tensor([prompts.head + group.ids[s, t, -n:].tolist()])
                keys = torch.ones_like(ids)
                keys[0, -n:] = group.bias[s, 0, t, -1, -n:] == 0
                reference = forward(model, features, prompts, ids, keys)[0, -READ:]
                worst = max(worst, (model.lm_head(out[s, t]) - reference).abs().max().item())
    return worst
