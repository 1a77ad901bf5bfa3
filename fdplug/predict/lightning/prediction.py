"""What a batch of captions became: images drawn now, and images that an interrupted run has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from fdplug.predict.generation.generate import total
from fdplug.predict.storage.manifest import OK, Entry, read_image

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption


class Drawn(NamedTuple):
    """A new image: (3, H, W) uint8, or None if the pipeline gave not-a-number; costs are per image."""

    caption: Caption
    image: Tensor | None
    seconds: float
    denoiser_seconds: float | None
    gflops: float | None = None
    key_steps: int | None = None


class Prediction(NamedTuple):
    """What `predict_step` returns for a batch, be it drawn now or read back from an interrupted run.

    Attributes:
        images: (N, 3, H, W) uint8 on the CPU; those that hold numbers only, so there may be none.
        captions: N captions.
        seconds: In the pipeline, for these images.
        denoiser_seconds: In the denoiser, for these images; None where no family knows it.
        gflops: Of the denoiser, for these images; None if nothing was propagated.
        key_steps: How many; None if nothing was propagated.
        drawn: What of it is new.
    """

    images: Tensor
    captions: list[Caption]
    seconds: float
    denoiser_seconds: float | None
    gflops: float | None = None
    key_steps: int | None = None
    drawn: Sequence[Drawn] = ()


class Earlier:
    """Images of an interrupted run.

    Args:
        folder: Where they are.
        entries: The manifest's entries by image id.
    """

    def __init__(self, folder: Path, entries: Mapping[int, Entry]) -> None:
        self.folder = folder
        self.entries = entries

    def read(self, caption: Caption) -> Drawn | None:
        """The image of a caption and what it had cost, or None if it is still to be drawn."""
        entry = self.entries.get(caption.image_id)
        image = None if entry is None else read_image(self.folder, entry)
        if entry is None or (image is None and entry.status == OK):
            return None
        return Drawn(caption, image, entry.seconds, entry.denoiser_seconds, entry.gflops, entry.key_steps)


def gathered(images: Sequence[Drawn], drawn: Sequence[Drawn] = ()) -> Prediction:
    """The images that hold numbers as one batch; `drawn` are those of them that are new."""
    whole = [one for one in images if one.image is not None]
    stacked = torch.stack([one.image for one in whole if one.image is not None]) if whole else _NONE
    gflops = [one.gflops for one in whole if one.gflops is not None]
    key_steps = [one.key_steps for one in whole if one.key_steps is not None]
    return Prediction(
        images=stacked,
        captions=[one.caption for one in whole],
        seconds=sum(one.seconds for one in whole),
        denoiser_seconds=total(one.denoiser_seconds for one in whole),
        gflops=sum(gflops) if gflops else None,
        key_steps=key_steps[-1] if key_steps else None,
        drawn=drawn,
    )


_NONE = torch.empty(0, 3, 0, 0, dtype=torch.uint8)
