"""How many images fit into memory at once: found by running out of it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from fdplug.errors import PipelineError, warn
from fdplug.predict.generation.generate import GenerationOutput, joined

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption

HINTS = "a smaller size, dtype float16 or bfloat16, decoding serial or a smaller max_span_batch need less"


class ShrinkingBatch:
    """Generates images in calls that fit into memory: where a batch does not, in halves, from then on.

    Images do not change by it: each has a random generator of its own.
    """

    def __init__(self) -> None:
        self.most: int | None = None

    def generate(
        self, captions: Sequence[Caption], call: Callable[[Sequence[Caption]], GenerationOutput]
    ) -> GenerationOutput:
        """Generate the images of captions in as many calls as it takes.

        Args:
            captions: at least one.
            call: generates the images of some captions in one pipeline call.

        Raises:
            PipelineError: there is no memory for a single image.
        """
        runs: list[GenerationOutput] = []
        rest = captions
        while rest:
            count = min(self.most or len(rest), len(rest))
            done = self._tried(rest[:count], call)
            if done is not None:
                runs.append(done)
                rest = rest[count:]
        return joined(runs)

    def _tried(
        self, captions: Sequence[Caption], call: Callable[[Sequence[Caption]], GenerationOutput]
    ) -> GenerationOutput | None:
        """What `call` returns, or None if memory ran out and fewer are to be tried."""
        try:
            return call(captions)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(captions) == 1:
                raise PipelineError(f"out of memory with a single image: {HINTS}") from error
            reason = str(error).strip().splitlines()
        self.most = len(captions) // 2
        message = (
            f"out of memory with {len(captions)} images at once, going on with {self.most} ({''.join(reason[:1])})"
        )
        warn(message)
        _free()
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device."""
    text = str(error)
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or "can't allocate memory" in text
        or "MPS backend out of memory" in text
    )


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
