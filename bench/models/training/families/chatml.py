"""What the ChatML families share: a byte-level tokenizer in which every word of the suite is one token, and the template."""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from graphs import write_json

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# How Qwen's tokenizers cut text: letters with one leading sign, single digits, punctuation, line breaks, spaces.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = (
    "{%%- for message in messages -%%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{%%- for part in message['content'] -%%}"
    "{%%- if part['type'] == 'image' -%%}{{ '%s' }}{%%- else -%%}{{ part['text'] }}{%%- endif -%%}"
    "{%%- endfor -%%}"
    "{{ '<|im_end|>\\n' }}"
    "{%%- endfor -%%}"
    "{%%- if add_generation_prompt -%%}{{ '<|im_start|>assistant\\n' }}{%%- endif -%%}"
)


def build_tokenizer(words, specials):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    # Answers follow a line break, and so carry no space.
    answers = [word.strip() for word in words]
    tokenizer.train_from_iterator(words + answers + ["user", "assistant", "system"], trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in (PAD, START, END, *specials)]
    )
    return tokenizer


def write_text_configs(folder, tokenizer, image, specials, names=None):
    """tokenizer.json, tokenizer_config.json, chat_template.jinja and generation_config.json."""
    ids = {text: tokenizer.token_to_id(text) for text in (PAD, START, END, *specials)}
    write_json(folder / "tokenizer.json", json.loads(tokenizer.to_str()), indent=1)
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "padding_side": "left",
        "clean_up_tokenization_spaces": False, "add_prefix_space": False,
        "pad_token": PAD, "eos_token": END, **(names or {}),
        "added_tokens_decoder": {
            str(i): {"content": text, "lstrip": False, "normalized": False, "rstrip": False,
                     "single_word": False, "special": True} for text, i in ids.items()
        },
    })
    (folder / "chat_template.jinja").write_text(TEMPLATE % image + "\n")
    write_json(folder / "generation_config.json", {
        "eos_token_id": [ids[END], ids[PAD]], "pad_token_id": ids[PAD], "max_new_tokens": 4, "do_sample": False,
    })
