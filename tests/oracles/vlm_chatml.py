"""A small ChatML tokenizer: the byte-level one of vlm_tokenizers.py with the control tokens of Qwen or InternVL."""

import pathlib

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

golden = pathlib.Path(__file__).parent.parent / "golden"

# As published ChatML templates write a system and a user turn, in our own words; `image` is the architecture's.
template = (
    "{%%- if messages[0]['role'] != 'system' -%%}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}"
    "{%%- endif -%%}"
    "{%%- for message in messages -%%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{%%- for part in message['content'] -%%}"
    "{%%- if part['type'] == 'image' -%%}{{ '%s' }}{%%- else -%%}{{ part['text'] }}{%%- endif -%%}"
    "{%%- endfor -%%}"
    "{{ '<|im_end|>\\n' }}"
    "{%%- endfor -%%}"
    "{%%- if add_generation_prompt -%%}{{ '<|im_start|>assistant\\n' }}{%%- endif -%%}"
)


def chatml_tokenizer(extra, **names):
    """`extra`: further control tokens; `names`: attributes such as image_token."""
    tokenizer = Tokenizer.from_file(str(golden / "vlm-tokenizers" / "byte-level.json"))
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *extra]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=4096,
        extra_special_tokens=names,
    )
