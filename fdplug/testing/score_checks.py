"""What every score must do, as a function that raises `AssertionError`."""

from __future__ import annotations

import copy
import math
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from fdplug.predict.storage.names import IMAGE
from fdplug.scores import BASELINE, REFERENCE, Batch, CombinedScore, Number, Score
from fdplug.scores.base import NEEDS
from fdplug.scores.rows import exchange
from fdplug.testing.checks import check_class

if TYPE_CHECKING:
    import numpy as np

Numbers = dict[str, float]
COUNT = 12
SIZE = 16
EXACT, ROUNDED = 1e-9, 1e-4
"""How far numbers may be apart that are made of the same features, and of features made in other batches."""
PATIENCE = 60.0
"""Seconds after which a process that waits for the others is given up."""


class Shown(NamedTuple):
    """A caption of a picture that is made up."""

    image_id: int
    text: str


def check_score(score: Score, captions: Sequence[Any] = (), images: Tensor | None = None) -> None:
    """A score's numbers are known beforehand, and depend neither on batches, their order nor the number of processes.

    Args:
        score: with networks that can be loaded here.
        captions: at least four, each with `text` and `image_id`, where not every text will do.
        images: as many (N, 3, H, W) uint8, where not every image will do.
    """
    check_class("score", score)
    _check_numbers(score)
    if isinstance(score, CombinedScore):
        return _check_combined(score)
    captions = captions or [Shown(7 * index + 3, f"a picture with the number {index}") for index in range(COUNT)]
    pictures = _pictures(len(captions), 0) if images is None else images
    assert len(pictures) == len(captions) >= 4, "give as many captions as images, at least four"
    if IMAGE not in score.media:
        pictures = torch.stack([pictures, pictures.roll(1, -1), pictures.roll(2, -1)], 1)  # videos of three frames
    score.check(captions)
    score.load("cpu")
    given = _Given(score, captions, pictures)
    whole, every = given.numbers(range(len(captions))), range(len(captions))
    _check_found(score, whole)
    _agree(whole, given.numbers(every), "the second set of images has other numbers than the first: begin anew", EXACT)
    _agree(whole, given.numbers(every, size=5), "the numbers depend on the size of the batches", ROUNDED)
    _agree(whole, given.numbers(reversed(every)), "the numbers depend on the order of the images", EXACT)
    given.check_inputs_are_kept()
    _check_processes(given, whole)
    return None


def _check_numbers(score: Score) -> None:
    name = type(score).__name__
    assert score.numbers, f"{name} has no numbers: say what it computes"
    assert all(isinstance(one, Number) for one in score.numbers), f"`numbers` of {name} holds something else"
    keys = [one.key for one in score.numbers]
    assert len(set(keys)) == len(keys), f"two numbers of {name} have one key"
    assert all(key.isidentifier() and not key.endswith("_se") for key in keys), f"keys must be plain words, got {keys}"
    assert all(one.title and type(one.higher_is_better) is bool for one in score.numbers), (
        f"{name}: a title or a direction is missing"
    )
    unknown = set(score.needs) - set(NEEDS)
    assert not unknown, f"{name} needs {sorted(unknown)}; what fdplug gives is {', '.join(NEEDS)}"


def _check_combined(score: CombinedScore) -> None:
    assert score.made_of, f"{type(score).__name__} says nothing of what it is made of"
    _check_found(score, score.combine(dict.fromkeys(score.made_of, 2.0)))


def _check_found(score: Score, found: Numbers) -> None:
    known = {key for one in score.numbers for key in (one.key, f"{one.key}_se")}
    unknown = set(found) - known
    assert not unknown, f"compute returned {sorted(unknown)}, which `numbers` does not list"
    assert set(found) & {one.key for one in score.numbers}, "compute returned none of the numbers"
    for key, value in found.items():
        assert isinstance(value, float | int), f"{key} is a {type(value).__name__}, not a plain number"
        assert not math.isnan(value), f"{key} is not-a-number; leave out what cannot be computed"


def _agree(one: Numbers, other: Numbers, message: str, apart: float) -> None:
    assert set(one) == set(other), f"{message}: {sorted(set(one) ^ set(other))}"
    for key, value in one.items():
        assert math.isclose(value, other[key], rel_tol=apart, abs_tol=apart), f"{message}: {key} {value}, {other[key]}"


def _pictures(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)


class _Source:
    """Pictures as real images."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int, size: tuple[int, int] | None = None) -> np.ndarray:
        return self.images[index].permute(1, 2, 0).numpy()


class _Given:
    """What a score is given, and what it makes of it."""

    def __init__(self, score: Score, captions: Sequence[Any], images: Tensor) -> None:
        self.score, self.captions, self.images = score, captions, images
        changed = images.int() + torch.arange(len(images)).reshape(-1, *[1] * (images.dim() - 1)) % 5 + 1
        self.baseline = changed.clamp(max=255).to(torch.uint8)
        self.real = images.flip(0, 3)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Return some of the images."""
        index = torch.tensor(list(rows))
        baseline = self.baseline[index] if BASELINE in self.score.needs else None
        return Batch(self.images[index], [self.captions[row] for row in rows], baseline)

    def begun(self, share: tuple[int, int] = (0, 1)) -> Score:
        """Return a score that begins; `share` is its process's number, and of how many."""
        from fdplug.scores.features.reference import Reference

        score = copy.copy(self.score)
        score.begin(Reference(_Source(self.real), share=share) if REFERENCE in score.needs else None)
        return score

    def numbers(self, rows: Any, size: int = 1) -> Numbers:
        """Return the numbers of some images in this order, in batches of a size."""
        score, order = self.begun(), list(rows)
        for start in range(0, len(order), size):
            score.update(self.batch(order[start : start + size]))
        return score.compute()

    def check_inputs_are_kept(self) -> None:
        """An image must not be written into: others score it too."""
        score, batch = self.begun(), self.batch(range(len(self.captions)))
        images = [one for one in (batch.images, batch.baseline) if one is not None]
        before = [one.clone() for one in images]
        score.update(batch)
        assert all(map(torch.equal, images, before)), "update changed the images in place"


def _check_processes(given: _Given, whole: Numbers) -> None:
    """Two processes, and three of which one has no image, compute what one does."""
    count = len(given.captions)
    for shares in ((range(0, count, 2), range(1, count, 2)), (range(3), range(0), range(3, count))):
        scores = [given.begun((rank, len(shares))) for rank in range(len(shares))]
        for score, share in zip(scores, shares, strict=True):
            for row in share:
                score.update(given.batch([row]))
        for found in in_processes([score.compute for score in scores]):
            _agree(whole, found, "the numbers depend on the number of processes: put together what each one has", EXACT)


def in_processes(tasks: Sequence[Callable[[], Numbers]]) -> list[Numbers]:
    """Return what tasks return that run side by side as the processes of one run, each in a thread.

    What they put together with `fdplug.scores.rows` goes from thread to thread.
    """
    barrier = threading.Barrier(len(tasks), timeout=PATIENCE)
    handed: list[Any] = [None] * len(tasks)

    def run(rank: int) -> Numbers:
        def exchanged(tensor: Tensor) -> list[Tensor]:
            handed[rank] = tensor
            barrier.wait()
            found = list(handed)
            barrier.wait()
            return found

        exchange.set(exchanged)
        try:
            return tasks[rank]()
        except threading.BrokenBarrierError:
            raise AssertionError("one process waits for what the others do not put together: ask on all") from None
        finally:
            barrier.abort() if sys.exception() else None

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(run, rank) for rank in range(len(tasks))]]
