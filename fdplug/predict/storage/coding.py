"""What is generated, as the bytes of a file and back: images, videos and sounds, told apart by their shape.

Images are (3, H, W) uint8, videos (F, 3, H, W) uint8, sounds (channels, samples) int16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from fdplug.errors import DataError
from fdplug.files.films import MP4, encode_film
from fdplug.files.images import decoded
from fdplug.files.sounds import decode_sound, encode_sound
from fdplug.files.source import Source
from fdplug.files.videos import as_gif, decode_video, encode_video
from fdplug.predict.storage.atomic import encode_png

if TYPE_CHECKING:
    from torch import Tensor

PICTURE, SOUND, ANIMATION = ".png", ".wav", ".gif"
SUFFIXES = (PICTURE, SOUND)
COPIES = {"gif": ANIMATION, "mp4": MP4}
"""The files beside a video, for programs that do not play it: their suffixes by the words of a setting."""
FRAMES_PER_SECOND = 8.0


def encoded(made: Tensor, rate: float | None) -> tuple[str, bytes]:
    """Return the suffix and the bytes of the file, from which `decode` makes the same.

    Args:
        made: an image, a video or a sound.
        rate: frames or samples per second; None for an image.
    """
    if is_sound(made):
        return SOUND, encode_sound(made, rate or 1)
    if is_video(made):
        return PICTURE, encode_video(made, rate or FRAMES_PER_SECOND)
    return PICTURE, encode_png(made)


def companion(made: Tensor, rate: float | None, copy: str = "gif") -> tuple[str, bytes] | None:
    """Return suffix and bytes of a file for programs that cannot play the first; None where there is no need.

    Args:
        made: an image, a video or a sound.
        rate: frames or samples per second; None for an image.
        copy: one of `COPIES`.
    """
    if not is_video(made):
        return None
    encode = encode_film if copy == "mp4" else as_gif
    return COPIES[copy], encode(made, rate or FRAMES_PER_SECOND)


def decode(data: bytes, source: Source) -> Tensor | None:
    """Return what the bytes of a file hold; None where they are broken."""
    try:
        if source.path.suffix == SOUND:
            return decode_sound(data, source)
        video = decode_video(data, source)
        if video is not None:
            return video
        return torch.tensor(np.asarray(decoded(data, source))).permute(2, 0, 1).contiguous()
    except DataError:
        return None


def is_video(made: Tensor) -> bool:
    """Whether this is a video, (F, 3, H, W)."""
    return made.dim() == 4


def is_sound(made: Tensor) -> bool:
    """Whether this is a sound, (channels, samples) int16."""
    return made.dtype == torch.int16
