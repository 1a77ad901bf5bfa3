"""Which scores a comparison computes, and the models behind them, loaded once and shared by all variants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug.checks import check_choice
from fdplug.errors import ConfigError
from fdplug.metrics.factory import COMPARING, Models, score_maker
from fdplug.metrics.reference import Reference
from fdplug.predict.data.captions import SHAPES, Caption
from fdplug.predict.data.references import ReferenceImages

if TYPE_CHECKING:
    from fdplug.metrics.score import Advance, Score

NAMES = ("shapes", "clip", "fid", "is", "pr")
NONE = "none"


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
            raise ConfigError(f"the score '{name}' stands alone; combine only {', '.join(NAMES)}")
    return names


class Scoring:
    """Builds scores; everything that can be refused is refused before a model is loaded.

    Args:
        names: what `chosen` returns.
        annotated: all captions of the annotation file; its real images are the reference of FID and shapes-FD.
        images: folder of the real images, if they are files.
        captions: the captions that will be drawn.
        clip_model: hub id or folder of the CLIP model.
        extractor: of FID, Inception score, precision and recall.
    """

    def __init__(
        self,
        names: Sequence[str],
        annotated: Sequence[Caption],
        images: str | Path | None,
        captions: Sequence[Caption],
        clip_model: str,
        extractor: str = Models.extractor,
    ) -> None:
        self.names = list(names)
        self.models = Models(clip=clip_model, extractor=extractor)
        self.references: ReferenceImages | None = None
        if "shapes" in self.names:
            from fdplug.metrics.shapes import check_captions

            check_captions(captions)
        if self._comparing:
            self.references = ReferenceImages(annotated, images)
        self.models.check(self.names)

    @property
    def _comparing(self) -> set[str]:
        return set(COMPARING) & set(self.names)

    @property
    def num_references(self) -> int:
        """How many real images will be read."""
        return 0 if self.references is None else len(self.references) * len(self._comparing)

    def load(self, device: Any, advance: Advance, size: tuple[int, int] | None = None) -> Callable[[], list[Score]]:
        """Load the models; the result makes fresh scores for one variant each.

        Args:
            device: where the models run.
            advance: called with the number of real images just read.
            size: height and width of the generated images, to which real ones are cropped and resized.
        """
        models = Models(clip=self.models.clip, extractor=self.models.extractor, device=device)
        reference = None if self.references is None else Reference(self.references, size, advance)
        makers = [score_maker(name, models, reference) for name in self.names]
        return lambda: [make() for make in makers]
