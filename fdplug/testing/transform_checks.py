"""The check of a transform: exact undo, spans that still work, and a ledger that counts what runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fdplug import trees
from fdplug.errors import FdplugError, StackError
from fdplug.lookup import find_family
from fdplug.pipeline import propagate
from fdplug.profiling.ledger import WHOLE, Ledger
from fdplug.testing.checks import attributes, check_class
from fdplug.testing.components import latents, tiny_pipeline
from fdplug.testing.pipeline_checks import check_propagation
from fdplug.transforms import Transform


def check_transform(transform: Transform, build: Callable[[], Any] | None = None) -> None:
    """After `undo` the pipeline gives its images bit for bit, and its modules have the attributes they had.

    Under `propagate` as many rows run as the ledger counts, and spans that are decoded in one batch give what steps
    decoded one by one do; unless it says that it cannot be combined with replayed steps (`needs`, `excludes`).

    Args:
        transform: the transform to check.
        build: returns a small pipeline; None: `tiny_pipeline`.
    """
    check_class("transform", transform)
    pipe = (build or tiny_pipeline)()
    expected, before = latents(pipe), attributes(pipe)
    for _ in range(2):
        transform.apply(pipe)
        changed = latents(pipe)
        assert torch.equal(latents(pipe), changed), "the same seed must give the same image"
        transform.undo(pipe)
        assert attributes(pipe) == before, "undo must leave no attribute behind"
        assert torch.equal(latents(pipe), expected), "undo must restore the images bit for bit"
    _check_rows(transform, pipe)
    _check_spans(transform, pipe)


def _check_rows(transform: Transform, pipe: Any) -> None:
    """The ledger counts the rows that went through the first module of the part."""
    family, network = find_family(pipe)
    first = next(iter(family.parts(network))).modules[0]
    with _counted(network.get_submodule(first)) as rows, _propagated(pipe, transform) as ledger:
        latents(pipe)
    if ledger is not None:
        added = sum(entry.rows for entry in ledger.entries if entry.module == WHOLE and not entry.steps)
        counted = ledger.rows(first) + added
        assert sum(rows) == counted, (
            f"{sum(rows)} rows went through {first}, and the ledger counts {counted}: a transform that makes the"
            " denoiser run more or fewer rows must say so by `ledger.repeats` of the ledger that `bind` hands it"
        )


@contextmanager
def _counted(module: torch.nn.Module) -> Iterator[list[int]]:
    rows: list[int] = []

    def count(_: Any, args: Any, kwargs: Any) -> None:
        rows.append(next(iter(trees.leaves((args, kwargs)))).shape[0])

    hook = module.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield rows
    finally:
        hook.remove()


@contextmanager
def _propagated(pipe: Any, transform: Transform) -> Iterator[Ledger | None]:
    """Propagate with every step a key step; None where the transform says that this cannot be."""
    try:
        handle = propagate(pipe, policy="all", injector="none", transforms=[transform])
    except StackError:
        yield None
        return
    with handle:
        yield handle.ledger


def _check_spans(transform: Transform, pipe: Any) -> None:
    try:
        check_propagation(pipe, transforms=[transform])
    except StackError:
        return
    except (FdplugError, RuntimeError) as error:
        raise AssertionError(
            f"with replayed steps a run ends in {type(error).__name__}: {error}; a transform that cannot be combined"
            " with them says so (`needs`, `excludes`)"
        ) from error
