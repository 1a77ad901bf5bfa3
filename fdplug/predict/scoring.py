"""Which scores a comparison computes, and the models behind them, loaded once and shared by all variants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug.errors import ConfigError
from fdplug.predict.captions import SHAPES, Caption, read_captions
from fdplug.predict.references import ReferenceImages
from fdplug.predict.settings import check_choice

if TYPE_CHECKING:
    from fdplug.predict.scores import Score

NAMES = ("shapes", "clip", "fid")
NONE = "none"
Advance = Callable[[int], None]


def chosen(given: str, model: str, images: str | None, clip_model: str) -> list[str]:
    """Names of the scores for `--scores`: `auto`, `none`, or names with commas between."""
    if given == NONE:
        return []
    if given == "auto":
        if model == SHAPES:
            return ["shapes"]
        return [*(["clip"] if clip_model != NONE else []), *(["fid"] if images else [])]
    names = [name.strip() for name in given.split(",")]
    for name in names:
        check_choice("score", name, ("auto", NONE, *NAMES))
        if name not in NAMES:
            raise ConfigError(f"the score '{name}' stands alone; combine only {', '.join(NAMES)}.")
    return names


class Scoring:
    """Builds scores; everything that can be refused is refused before a model is loaded.

    Args:
        names: What `chosen` returns.
        annotations: The annotation file; its real images are the reference of FID and shapes-FD.
        images: Folder of the real images, if they are files.
        captions: The captions that will be drawn.
        clip_model: Hub id or folder of the CLIP model.
    """

    def __init__(
        self,
        names: Sequence[str],
        annotations: str | Path,
        images: str | Path | None,
        captions: Sequence[Caption],
        clip_model: str,
    ) -> None:
        self.names = list(names)
        self.clip_model = clip_model
        self.references: ReferenceImages | None = None
        if "shapes" in self.names:
            from fdplug.predict.shapes_scores import check_captions

            check_captions(captions)
        if {"shapes", "fid"} & set(self.names):
            self.references = ReferenceImages(read_captions(annotations), images)
        if "fid" in self.names:
            from fdplug.predict.scores import check_fid

            check_fid()

    @property
    def num_references(self) -> int:
        """How many real images will be read."""
        return 0 if self.references is None else len(self.references) * len({"shapes", "fid"} & set(self.names))

    def load(self, device: Any, advance: Advance) -> Callable[[], list[Score]]:
        """Load the models; the result makes fresh scores for one variant each."""
        makers = [getattr(self, f"_{name}")(device, advance) for name in self.names]
        return lambda: [make().to(_home(device)) for make in makers]

    def _shapes(self, device: Any, advance: Advance) -> Callable[[], Score]:
        from fdplug.predict import shapes_scores

        first = shapes_scores.load(self._real(), device, advance)
        return lambda: shapes_scores.ShapesScores(first.evaluators, first.distance.reference)

    def _clip(self, device: Any, advance: Advance) -> Callable[[], Score]:
        from fdplug.predict import scores

        clip = scores.load_clip(self.clip_model)
        return lambda: scores.ClipScore(clip)

    def _fid(self, device: Any, advance: Advance) -> Callable[[], Score]:
        from fdplug.predict import scores

        first = scores.load_fid(self._real(), device, advance=advance)
        return lambda: scores.Fid(first.inception, first.distance.reference)

    def _real(self) -> ReferenceImages:
        if self.references is None:
            raise ConfigError("no real images to compare with.")
        return self.references


def _home(device: Any) -> Any:
    """MPS has no float64, so scores stay on the CPU there."""
    return "cpu" if getattr(device, "type", device) == "mps" else device
