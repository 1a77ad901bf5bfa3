"""DeepFloyd-IF as a cascade at tiny size, saved: two stages in pixels, and the upscaler."""

from __future__ import annotations

from typing import Any

import torch

from fdplug.predict.generation.loading import quiet_loading
from fdplug.testing.components import WORDS
from fdplug.testing.systems import SYSTEMS


def t5() -> dict[str, Any]:
    """Return a real T5 tokenizer of few words, and an encoder of one layer."""
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    vocabulary = [
        *words,
        *((f"▁{word}", -2.0) for word in WORDS),
        *((letter, -5.0) for letter in letters if letter != "a"),
    ]
    config = T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    return {"tokenizer": T5Tokenizer(vocab=vocabulary, extra_ids=0), "text_encoder": T5EncoderModel(config).eval()}


def save(folder: Any) -> tuple[str, list[dict[str, Any]]]:
    """Save the three models; return the first, and the stages behind it."""
    with torch.random.fork_rng(devices=[]), quiet_loading():
        torch.manual_seed(0)
        for name, system in (("one", "if-1"), ("two", "if-2"), ("three", "sd-x4-upscaler")):
            pipe = SYSTEMS[system].make()
            if name == "one":
                pipe.register_modules(**t5())
            pipe.save_pretrained(folder / name, safe_serialization=True)
    return str(folder / "one"), [
        {"model": str(folder / "two"), "shares": ["text_encoder", "tokenizer"], "steps": 3, "size": 16},
        {"model": str(folder / "three"), "steps": 4, "arguments": {"noise_level": 10}},
    ]
