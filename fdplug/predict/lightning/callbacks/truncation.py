"""Captions that are longer than a text encoder reads: how many, and an example."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fdplug.errors import warn
from fdplug.errors.wording import number_of
from fdplug.predict.lightning.callbacks.base import LogNumbers
from fdplug.scores.features.loading import quiet_loading

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption
    from fdplug.predict.lightning.prediction import Prediction

BATCH = 1024
UNLIMITED = 1 << 20
NAMES = ("tokenizer", "tokenizer_2", "tokenizer_3")
NOTICE = "The following part of your input was truncated"


class Truncated(NamedTuple):
    """Captions that one tokenizer cuts."""

    tokenizer: str
    longest: int
    captions: list[Caption]

    def __str__(self) -> str:
        first = self.captions[0]
        cut = f"the end of {number_of(len(self.captions), 'caption')} is not seen"
        reads = f"{self.tokenizer} reads {self.longest} tokens"
        return f"{cut}: {reads}. The first is {first.image_id}: {first.text[:60]!r}..."


def truncated(pipe: Any, captions: Sequence[Caption]) -> list[Truncated]:
    """What the tokenizers of a pipeline cut, one entry for each tokenizer that cuts anything.

    A token stands for at least one byte, so short captions are not looked at any closer.
    """
    found = []
    for name in NAMES:
        tokenizer = getattr(pipe, name, None)
        longest = _longest(pipe, tokenizer)
        if tokenizer is None or longest is None:
            continue
        suspects = [one for one in captions if len(one.text.encode("utf-8", "replace")) + _EXTRA > longest]
        cut: list[Caption] = []
        for start in range(0, len(suspects), BATCH):
            part = suspects[start : start + BATCH]
            with quiet_loading():
                ids = tokenizer([one.text for one in part], truncation=False, verbose=False)["input_ids"]
            cut += [one for one, tokens in zip(part, ids, strict=True) if len(tokens) > longest]
        if cut:
            found.append(Truncated(name, longest, cut))
    return found


_EXTRA = 2
"""The tokens of beginning and end."""


def _longest(pipe: Any, tokenizer: Any) -> int | None:
    """Tokens that are read: the tokenizer's limit, or the pipeline's own default for T5; None if there is no limit."""
    longest = getattr(tokenizer, "model_max_length", UNLIMITED)
    asked = inspect.signature(pipe.__call__).parameters.get("max_sequence_length")
    if asked is not None and isinstance(asked.default, int) and "T5" in type(tokenizer).__name__:
        longest = min(longest, asked.default)
    return longest if longest < UNLIMITED else None


class ReportTruncation(LogNumbers):
    """Says once, before anything is generated, how many captions the text encoder cuts; part of every prediction."""

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """Count on the first rank, and keep diffusers from saying it batch by batch."""
        super().on_predict_start(trainer, pl_module)
        for handler in logging.getLogger("diffusers").handlers:
            handler.addFilter(_without_notice)
        captions = trainer.datamodule.captions if trainer.datamodule else []
        self.found = truncated(pl_module.pipe, captions) if trainer.is_global_zero else []
        for one in self.found:
            warn(str(one))

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Let diffusers speak again."""
        for handler in logging.getLogger("diffusers").handlers:
            handler.removeFilter(_without_notice)

    def update(self, prediction: Prediction) -> None:
        """Leave batches alone: the number is not made of them."""

    def compute(self, trainer: Any, pl_module: Any) -> dict[str, float]:
        """How many captions were cut by any tokenizer."""
        cut = {caption.image_id for one in self.found for caption in one.captions}
        return {"truncated_captions": len(cut)} if cut else {}


def _without_notice(record: logging.LogRecord) -> bool:
    return NOTICE not in record.getMessage()
