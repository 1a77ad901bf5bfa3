"""Progress: denoising steps seen from outside the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from fdplug.patching import Patch

OnStep = Callable[[int, int], None]


@contextmanager
def watched(pipe: Any, on_step: OnStep | None) -> Iterator[None]:
    """Call `on_step(done, total)` as the pipeline advances its own (hidden) progress bar.

    Every diffusers pipeline uses `pipe.progress_bar`, while not every one has a callback for steps.
    """
    if on_step is None:
        yield
        return
    patch = Patch(pipe, "progress_bar", lambda original, *args, **kwargs: StepBar(on_step, *args, **kwargs))
    patch.apply()
    try:
        yield
    finally:
        patch.remove()


class StepBar:
    """Stands in for the tqdm bar of a pipeline: as much of its interface as pipelines use."""

    def __init__(self, on_step: OnStep, iterable: Iterable[Any] | None = None, total: int | None = None) -> None:
        self.on_step = on_step
        self.iterable = iterable if iterable is not None else ()
        self.total = total if total is not None else len(list(self.iterable))
        self.done = 0

    def __enter__(self) -> StepBar:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        for item in self.iterable:
            yield item
            self.update()

    def update(self, count: int = 1) -> None:
        self.done += count
        self.on_step(self.done, self.total)

    def close(self) -> None:
        """Nothing is left open."""

    def set_postfix(self, *args: Any, **kwargs: Any) -> None:
        """Pipelines may show more; we do not."""

    def set_description(self, *args: Any, **kwargs: Any) -> None:
        """Pipelines may show more; we do not."""
