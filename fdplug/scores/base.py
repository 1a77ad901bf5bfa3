"""The base classes of scores, and how a number says what it is called and which way is better."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from fdplug.errors import PluginError
from fdplug.predict.storage.names import IMAGE, VIDEO

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fdplug.scores.features.reference import Reference
    from fdplug.scores.rows import Rows

CAPTIONS, REFERENCE, BASELINE = "captions", "reference", "baseline"
NEEDS = (CAPTIONS, REFERENCE, BASELINE)


@dataclass(frozen=True)
class Number:
    """A number that a score computes, and how it is shown.

    Attributes:
        key: its name in json files; `<key>_se` is its standard error.
        title: what tables, charts and sentences call it.
        higher_is_better: its direction.
        digits: how many are shown after the point.
        unit: such as `dB`.
        column: whether tables show it; if not, it is in the json files only.
        headline: whether it comes first where one number has to stand for all.
        with_error: whether every table shows its standard error too.
    """

    key: str
    title: str
    higher_is_better: bool
    digits: int = 3
    unit: str = ""
    column: bool = True
    headline: bool = False
    with_error: bool = False

    @property
    def head(self) -> str:
        """The head of its column."""
        return f"{self.title} {self.unit}".strip()

    def text(self, value: float, error: float | None = None) -> str:
        """Return a value as tables show it, with its standard error if that is given."""
        shown = f"{value:.{self.digits}f}"
        return shown if error is None else f"{shown} ±{error:.{self.digits}f}"


class Captioned(Protocol):
    """What a score knows of a caption."""

    @property
    def text(self) -> str:
        """The caption."""
        ...

    @property
    def image_id(self) -> int:
        """The number of the image, unique within a run."""
        ...


@dataclass(frozen=True)
class Batch:
    """Some images of a run.

    Attributes:
        images: (N, 3, H, W) uint8, of videos (N, F, 3, H, W).
        captions: N captions, each with `text` and `image_id`; none where nobody knows them.
        baseline: the un-accelerated images of the same captions and seeds, if there are some.
    """

    images: Tensor
    captions: Sequence[Captioned] = ()
    baseline: Tensor | None = None

    @property
    def texts(self) -> list[str]:
        """The texts of the captions."""
        return [caption.text for caption in self.captions]

    @property
    def ids(self) -> list[int] | None:
        """The numbers of the images; None without captions."""
        return [caption.image_id for caption in self.captions] or None

    def frames(self) -> Batch:
        """Return the frames of videos as images, each with the caption of its video."""
        count = self.images.shape[1]
        captions = [caption for caption in self.captions for _ in range(count)]
        baseline = None if self.baseline is None else self.baseline.flatten(0, 1)
        return Batch(self.images.flatten(0, 1), captions, baseline)

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Return the images and those of the baseline."""
        assert self.baseline is not None, "a score that compares with a baseline lists BASELINE among its needs"
        return self.images, self.baseline


class Score(ABC):
    """Something to compute over all images of a run.

    The number must not depend on the number of processes: `fdplug.scores.rows` puts together what each of them has.

    Attributes:
        name: what users call it.
        numbers: what it computes.
        needs: what it needs besides images: `CAPTIONS`, `REFERENCE` (real images), `BASELINE` (the un-accelerated
            images of the same captions and seeds).
        media: what it can be computed of: `IMAGE`, `VIDEO`. Contract 1.1.
    """

    name: ClassVar[str]
    numbers: ClassVar[tuple[Number, ...]]
    needs: ClassVar[frozenset[str]] = frozenset()
    media: ClassVar[frozenset[str]] = frozenset({IMAGE})

    def check(self, captions: Sequence[Captioned]) -> None:  # noqa: B027  most have nothing to refuse
        """Refuse what cannot be scored, before any model is loaded: a missing package, captions of another kind."""

    def load(self, device: torch.device | str) -> None:  # noqa: B027  not all have networks
        """Load networks, which several sets of images share."""

    @abstractmethod
    def begin(self, reference: Reference | None = None) -> None:
        """Begin with a set of images.

        Args:
            reference: the real images, for a score that needs them.
        """

    @abstractmethod
    def update(self, batch: Batch) -> None:
        """Add a batch of images."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return the numbers by key, over the images of all processes; what needs more images is left out."""


class MeanScore(Score):
    """A score that is the mean over images of something that each image has; it comes with its standard error.

    A video counts as one image, with the mean over its frames.

    Attributes:
        last: what each image of the last batch has, by key.
        framewise: whether `values` is asked for the frames of a video, not for the video. Contract 1.1.
    """

    media = frozenset({IMAGE, VIDEO})
    framewise: ClassVar[bool] = True
    last: Mapping[str, Tensor]
    _rows: dict[str, Rows]

    @property
    def means(self) -> tuple[str, ...]:
        """Keys of the numbers that are means; all of them unless a subclass says otherwise."""
        return tuple(number.key for number in self.numbers)

    @abstractmethod
    def values(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return what each image has, (N,) for each key; (0,) where there is nothing for this batch."""

    def begin(self, reference: Reference | None = None) -> None:
        from fdplug.scores.rows import Rows

        self._rows, self.last = {key: Rows() for key in self.means}, {}

    def update(self, batch: Batch) -> None:
        self.last = self._of_frames(batch) if self.framewise and batch.images.dim() == 5 else self.values(batch)
        for key, values in self.last.items():
            if key not in self._rows:
                known = ", ".join(self._rows)
                raise PluginError(f"score '{self.name}' gives '{key}', which is not among its numbers: {known}")
            self._rows[key].add(values, batch.ids if len(values) else [])

    def _of_frames(self, batch: Batch) -> dict[str, Tensor]:
        """Return what each video of a batch has: the mean over its frames."""
        shape = batch.images.shape[:2]
        found = self.values(batch.frames())
        return {key: values.reshape(shape).mean(1) if len(values) else values for key, values in found.items()}

    def compute(self) -> dict[str, float]:
        """Return the means, and from two images on their standard errors."""
        from fdplug.scores.uncertainty import named

        return {name: one for key, rows in self._rows.items() for name, one in named(key, rows.gathered()).items()}


class CombinedScore(Score):
    """A score that is made of other numbers of the same run, not of images.

    Attributes:
        made_of: keys of the numbers that it needs: those of other scores, and `seconds_per_image`.
    """

    media = frozenset({IMAGE, VIDEO})

    made_of: ClassVar[tuple[str, ...]]

    @abstractmethod
    def combine(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Return the numbers, made of those in `made_of`."""

    def begin(self, reference: Reference | None = None) -> None:
        """Begin; there is nothing to keep."""

    def update(self, batch: Batch) -> None:
        """Leave images alone: the number is not made of them."""

    def compute(self) -> dict[str, float]:
        """Return no number yet: the others are not all known."""
        return {}
