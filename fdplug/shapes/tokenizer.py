"""The word-level tokenizer: a CLIP byte-pair tokenizer whose merges spell exactly the words of the grammar."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import TYPE_CHECKING

from fdplug.shapes.captions import words

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CONTEXT = 39
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def merges() -> list[tuple[str, str]]:
    """Merge rules, in order of priority, that make every word of the grammar one token."""
    rules: list[tuple[str, str]] = []
    for word in words():
        pieces = spell(word, rules)
        while len(pieces) > 1:
            rules.append((pieces[0], pieces[1]))
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
    return rules


def spell(word: str, rules: list[tuple[str, str]]) -> list[str]:
    """Split one lower-case word into tokens by byte-pair merging."""
    pieces = [*word[:-1], word[-1] + "</w>"]
    for left, right in rules:
        index = 0
        while index < len(pieces) - 1:
            if (pieces[index], pieces[index + 1]) == (left, right):
                pieces[index : index + 2] = [left + right]
            index += 1
    return pieces


def write_tokenizer(folder: Path) -> None:
    """Write ``vocab.json`` and ``merges.txt`` for `build_tokenizer`."""
    rules = merges()
    letters = [*string.ascii_lowercase, *string.digits, *".,-'"]
    tokens = [BEGIN, END, *letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in rules)]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, indent=0))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(f"{a} {b}" for a, b in rules)]) + "\n")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": CONTEXT,
        "bos_token": BEGIN,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """Load the tokenizer written to `folder`, without any network."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
