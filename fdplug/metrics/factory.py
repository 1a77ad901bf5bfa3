"""Scores by their short names, from models that several scores share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fdplug import checks
from fdplug.errors import ConfigError
from fdplug.metrics.clip import CLIP_MODEL, ClipScore, load_clip
from fdplug.metrics.extractor import INCEPTION, SHAPES, check_classes
from fdplug.metrics.extractors import load_extractor
from fdplug.metrics.fid import Fid
from fdplug.metrics.inception import check_inception
from fdplug.metrics.inception_score import InceptionScore
from fdplug.metrics.precision_recall import NEIGHBOURS, PrecisionRecall

if TYPE_CHECKING:
    import torch

    from fdplug.metrics.reference import Reference
    from fdplug.metrics.score import Score

Make = Callable[[], "Score"]
COMPARING = ("fid", "pr", "shapes")
"""Scores that need real images."""


@dataclass(frozen=True, kw_only=True)
class Models:
    """The networks behind the scores.

    Args:
        extractor: of FID, Inception score, precision and recall; see `load_extractor`.
        clip: hub id or folder of the CLIP model.
        neighbours: k of precision and recall.
        allow_pickle: also read weights that are no safetensors.
        device: where everything runs; scores stay on the CPU where that has no float64.
    """

    extractor: str = INCEPTION
    clip: str = CLIP_MODEL
    neighbours: int = NEIGHBOURS
    allow_pickle: bool = False
    device: torch.device | str = "cpu"

    def check(self, names: tuple[str, ...] | list[str]) -> None:
        """Refuse what cannot be computed here, before anything is loaded."""
        checks.whole("neighbours", self.neighbours, 1)
        if {"fid", "is", "pr"} & set(names) and self.extractor.partition(":")[0] == INCEPTION:
            check_inception()

    @property
    def home(self) -> torch.device | str:
        """Where sums are kept: MPS has no float64."""
        return "cpu" if getattr(self.device, "type", self.device) == "mps" else self.device


def score_maker(name: str, models: Models, reference: Reference | None = None) -> Make:
    """Load what a score needs; the result makes fresh scores of it, for one set of images each.

    Args:
        name: `fid`, `is` (Inception score), `pr` (precision and recall), `clip`, or `shapes` (those of the embedded
            model).
        models: the networks.
        reference: the real images, for `fid`, `pr` and `shapes`; without them `shapes` leaves out its distance.

    Raises:
        ConfigError: a package or the reference is missing.
        PipelineError: a network cannot be loaded.
    """
    make = MAKERS[checks.choice("metric", name, tuple(MAKERS))](models, reference)
    return lambda: make().to(models.home)


def _fid(models: Models, reference: Reference | None) -> Make:
    extractor = load_extractor(models.extractor, models.device, models.allow_pickle)
    statistics = _given("fid", reference).statistics(extractor)
    return lambda: Fid(extractor, statistics)


def _inception_score(models: Models, reference: Reference | None) -> Make:
    extractor = load_extractor(models.extractor, models.device, models.allow_pickle)
    check_classes(extractor)
    return lambda: InceptionScore(extractor)


def _precision_recall(models: Models, reference: Reference | None) -> Make:
    extractor = load_extractor(models.extractor, models.device, models.allow_pickle)
    rows = _given("pr", reference).rows(extractor)
    return lambda: PrecisionRecall(extractor, rows, models.neighbours)


def _clip(models: Models, reference: Reference | None) -> Make:
    clip = load_clip(models.clip, models.device, models.allow_pickle)
    return lambda: ClipScore(clip)


def _shapes(models: Models, reference: Reference | None) -> Make:
    from fdplug.metrics.shapes import ShapesScores

    extractor = load_extractor(SHAPES, models.device)
    statistics = None if reference is None else reference.statistics(extractor)
    return lambda: ShapesScores(extractor, statistics)


def _given(name: str, reference: Reference | None) -> Reference:
    if reference is None:
        raise ConfigError(f"'{name}' needs real images: name a folder of them, or for fid a file of their statistics")
    return reference


MAKERS: dict[str, Callable[[Models, Reference | None], Make]] = {
    "fid": _fid,
    "is": _inception_score,
    "pr": _precision_recall,
    "clip": _clip,
    "shapes": _shapes,
}
