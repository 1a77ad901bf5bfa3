"""Scores: what is computed over all images of a run. The base classes, one file per built-in, and what they share.

A score knows its numbers (key, title, direction), what it needs besides images, and how to compute them, whatever the
number of processes. `fdplug predict`, `compare`, `evaluate` and the report read nothing else about scores. No module of
this folder imports torch before a score is used, so that names and directions can be listed at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from fdplug.hooks import hookimpl
from fdplug.scores.base import BASELINE, CAPTIONS, REFERENCE, Batch, CombinedScore, MeanScore, Number, Score
from fdplug.scores.clip_score import ClipScore
from fdplug.scores.detail import Detail
from fdplug.scores.fid import Fid
from fdplug.scores.fidelity import Fidelity
from fdplug.scores.ftc import Ftc
from fdplug.scores.inception_score import InceptionScore
from fdplug.scores.lpips import Lpips
from fdplug.scores.outlines import OutlineScore
from fdplug.scores.precision_recall import PrecisionRecall
from fdplug.scores.shapes import ShapesScores
from fdplug.scores.shapes_classes import ShapesClasses
from fdplug.scores.shapes_lpips import ShapesLpips
from fdplug.scores.temporal import Motion, Temporal

__all__ = ["BASELINE", "CAPTIONS", "REFERENCE", "Batch", "CombinedScore", "MeanScore", "Number", "Score"]


@hookimpl
def fdplug_scores() -> Iterator[type[Score]]:
    """Yield the built-in scores, in the order of their columns."""
    yield from (Fid, InceptionScore, PrecisionRecall, ClipScore, ShapesScores, ShapesClasses, OutlineScore)
    yield from (Fidelity, Lpips, ShapesLpips, Detail, Temporal, Motion, Ftc)
