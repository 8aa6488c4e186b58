"""Small real tokenizers of the families that VLMs use, with ids and offsets for tests/vlm/tokenizer.test.ts.

Run: python tests/oracles/vlm_tokenizers.py   (writes tests/golden/vlm-tokenizers/*.json)
Each is trained on the texts below, so nothing is downloaded. Offsets are given in UTF-16 units.
"""

import json
import pathlib

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

folder = pathlib.Path(__file__).parent.parent / "golden" / "vlm-tokenizers"

corpus = [
    "USER: Is there a red circle in the image? Answer yes or no. ASSISTANT: Yes",
    "How many blue squares are there? There are 3 blue squares, not 14.",
    "Where is the green triangle? It is to the left of the yellow star.",
    "Which colour does the object have? (A) red (B) green (C) blue (D) black\nAnswer with the letter.",
    "system You are a helpful assistant. user assistant No, there isn't a dog; it's a cat.",
    "Answer directly with only the letter inside parentheses, and nothing else.",
] * 20

texts = [
    "Is there a red circle in the image?",
    "USER: <image>\nIs there a red circle?  Yes. ASSISTANT:",
    "  leading and  double   spaces \n\n newlines\ttabs ",
    "caf\u00e9 na\u00efve \u2014 \u4f60\u597d \U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 end",
    "it's 14 of 27?\n<image><image>\n(A) red\n(B) blue",
    "Caf\u0065\u0301 \u212b \ufb01ne",
    "<s>USER: what?</s>",
    "ALL CAPS, unseen: \u00dfx\u00e6q!?",
]

specials = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]


def utf16(text, index):
    return len(text[:index].encode("utf-16-le")) // 2


def finish(tokenizer, bos):
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    return tokenizer


def llama(legacy):
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    alphabet = [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=specials + alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    # The trainer marks the byte tokens as special; in Llama's tokenizer they are plain vocabulary.
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] in specials]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    if legacy:
        tokenizer.pre_tokenizer = None
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        state = json.loads(tokenizer.to_str())
        state["pre_tokenizer"] = None
        tokenizer = Tokenizer.from_str(json.dumps(state))
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return finish(tokenizer, True)


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    from tokenizers import Regex

    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return finish(tokenizer, False)


def word_level():
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(corpus, trainers.WordLevelTrainer(special_tokens=specials, show_progress=False))
    return finish(tokenizer, True)


folder.mkdir(exist_ok=True)
cases = {}
for name, tokenizer in {
    "llama-legacy": llama(True),
    "llama-metaspace": llama(False),
    "byte-level": byte_level(),
    "word-level": word_level(),
}.items():
    (folder / f"{name}.json").write_text(tokenizer.to_str(pretty=False) + "\n")
    cases[name] = []
    for text in texts:
        encoding = tokenizer.encode(text, add_special_tokens=not text.startswith("<s>"))
        cases[name].append(
            {
                "text": text,
                "ids": encoding.ids,
                "tokens": encoding.tokens,
                "offsets": [[utf16(text, a), utf16(text, b)] for a, b in encoding.offsets],
                "decoded": tokenizer.decode(encoding.ids, skip_special_tokens=True),
            }
        )
(folder / "golden.json").write_text(json.dumps(cases, ensure_ascii=True) + "\n")
