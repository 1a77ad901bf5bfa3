"""The scores of one set of images, computed together: the one way from images to numbers."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fdplug.errors import ConfigError, FdplugError, PluginError, warn
from fdplug.errors.wording import one_line
from fdplug.scores.base import BASELINE, REFERENCE, Batch, Captioned, CombinedScore, MeanScore, Number, Score
from fdplug.scores.fidelity import PSNR

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fdplug.scores.features.reference import Reference

SECONDS = "seconds_per_image"
"""The one number that is no score, but that scores may be made of."""


class ScoreSet:
    """Some scores, built and not yet begun, or begun with one set of images.

    Args:
        scores: each computes numbers of its own.

    Raises:
        ConfigError: two compute a number of one name.
    """

    def __init__(self, scores: Sequence[Score]) -> None:
        self.scores = list(scores)
        keys = [number.key for number in self.numbers]
        for key in keys:
            if keys.count(key) > 1:
                raise ConfigError(f"two scores give '{key}', and a table has one column of it; leave one of them out")

    def __bool__(self) -> bool:
        """Whether there is any score."""
        return bool(self.scores)

    @property
    def names(self) -> list[str]:
        """The names of the scores."""
        return [score.name for score in self.scores]

    @property
    def numbers(self) -> list[Number]:
        """The numbers of all scores."""
        return [number for score in self.scores for number in score.numbers]

    @property
    def comparing(self) -> list[str]:
        """The names of the scores that need real images."""
        return [score.name for score in self.scores if REFERENCE in score.needs]

    @property
    def num_extractions(self) -> int:
        """How many times the real images are read: once for every extractor."""
        comparing = [score for score in self.scores if REFERENCE in score.needs]
        return len({getattr(score, "extractor", score.name) for score in comparing})

    def need(self, what: str) -> list[str]:
        """Return the names of the scores that need `captions`, a `reference` or a `baseline`."""
        return [score.name for score in self.scores if what in score.needs]

    def apart(self) -> tuple[ScoreSet, ScoreSet]:
        """Return those that look at images by themselves, and those that compare with a baseline."""
        pairs = [score for score in self.scores if BASELINE in score.needs]
        return ScoreSet([score for score in self.scores if score not in pairs]), ScoreSet(pairs)

    def check(self, captions: Sequence[Captioned]) -> None:
        """Refuse, before any model is loaded, what cannot be scored."""
        for score in self.scores:
            with _named(score):
                score.check(captions)

    def check_media(self, made: str) -> None:
        """Refuse scores that cannot be computed of what is made: images, videos or sounds.

        Raises:
            ConfigError: names the first.
        """
        for score in self.scores:
            if made not in score.media:
                raise ConfigError(f"score '{score.name}' cannot be computed of {made}s; leave it out")

    def check_parts(self) -> None:
        """Refuse a score that is made of numbers which nobody here computes.

        Raises:
            ConfigError: names the numbers.
        """
        known = {SECONDS, *(number.key for number in self.numbers)}
        for score in self.scores:
            missing = [key for key in getattr(score, "made_of", ()) if key not in known]
            if missing:
                raise ConfigError(f"'{score.name}' is made of other scores; add those that give {', '.join(missing)}")

    def load(self, device: torch.device | str) -> None:
        """Load the networks of all."""
        for score in self.scores:
            with _named(score):
                score.load(device)

    def begun(self, reference: Reference | None = None) -> ScoreSet:
        """Return scores for one set of images; they share their networks with these, and nothing else."""
        begun = ScoreSet([copy.copy(score) for score in self.scores])
        for score in begun.scores:
            with _named(score):
                score.begin(reference if REFERENCE in score.needs else None)
        return begun

    def update(self, batch: Batch) -> None:
        """Add a batch of images to all."""
        for score in self.scores:
            with _named(score):
                score.update(batch)

    def compute(self) -> dict[str, float]:
        """Return the numbers of all, over the images of all processes; those made of others are not among them."""
        numbers: dict[str, float] = {}
        for score in self.scores:
            with _named(score):
                numbers |= score.compute()
        return numbers

    def combine(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Return the numbers that are made of others; a score that lacks some of them warns."""
        found: dict[str, float] = {}
        for score in self.scores:
            if isinstance(score, CombinedScore):
                missing = [key for key in score.made_of if numbers.get(key) is None]
                if missing:
                    titles = " and ".join(number.title for number in score.numbers)
                    warn(f"no {titles} without {', '.join(missing)}; add the scores that give them")
                    continue
                with _named(score):
                    found |= score.combine({key: numbers[key] for key in score.made_of})
        return found

    def last(self) -> dict[str, Tensor]:
        """Return what each image of the last batch has, of all means."""
        means = [score for score in self.scores if isinstance(score, MeanScore)]
        return {key: values for score in means for key, values in score.last.items()}


def without_infinity(numbers: Mapping[str, float]) -> dict[str, Any]:
    """Return numbers that json can hold: an infinite PSNR is None, and `identical` says why."""
    if not math.isinf(numbers.get(PSNR, 0.0)):
        return dict(numbers)
    return {**numbers, PSNR: None, "identical": True}


@contextmanager
def _named(score: Score) -> Iterator[None]:
    """Say which score it was that failed."""
    try:
        yield
    except (FdplugError, MemoryError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error, 200)}"
        raise PluginError(f"score '{score.name}' failed: {reason}; leave it out, or tell its authors") from error
