"""The embedded models by name. A family says what differs: classes, tokens, prompt, vision tower, rotary positions.

A family has: `build_tokenizer(words)`, `build(tokenizer)` -> model, `image_token` (text of the placeholder), `head` and `tail`
(prompt before and after the question; `head` ends after the image), `answer` (what stands between the prompt and the
answer), `pad`, `end`, `places` (whether the tower can tell where a cell is), `width`, `vision(model)` (modules to teach, then
freeze), `features(model, pixel values)` -> [n, 64, width], `feeds(pixel values)` ->
what the exported tower takes, run by run, `positions(head, length)` -> [axes, prefix +
length] as the decoder takes them, and `export(model, folder, tokenizer)`.
"""

from families.internvl import InternVl
from families.llava import Llava
from families.qwen import Qwen

FAMILIES = {family.name: family for family in (Llava(), Qwen(), InternVl())}
