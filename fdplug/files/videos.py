"""Videos: all frames, without loss, in one animated PNG, which is a PNG of the first frame to whoever knows no others.

Browsers play it; `as_gif` makes what other programs play, with 256 colours a frame.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageSequence
from PIL.PngImagePlugin import PngInfo

from fdplug.files.images import FORMATS, FRAMES, PIXELS, check_png

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.files.source import Source

MOST_FRAMES = 4096
MOST_PIXELS = 32 * PIXELS


def encode_video(video: Tensor, rate: float) -> bytes:
    """Return the animated PNG of a video.

    Args:
        video: (F, 3, H, W) uint8.
        rate: frames per second.
    """
    first, *others = _pictures(video)
    said = PngInfo()
    said.add_text(FRAMES, str(len(video)))
    buffer = io.BytesIO()
    options: dict[str, Any] = {"save_all": True, "append_images": others} if others else {}
    first.save(buffer, format="PNG", pnginfo=said, duration=_milliseconds(rate), loop=0, **options)
    return buffer.getvalue()


def decode_video(data: bytes, source: Source) -> Tensor | None:
    """Return the frames (F, 3, H, W) uint8 of what `encode_video` wrote; None for a PNG of a single picture.

    Raises:
        DataError: it cannot be read, or is too large.
    """
    import torch

    try:
        check_png(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes, which are checked by whoever decodes it
            image: Any = Image.open(io.BytesIO(data), formats=FORMATS)
        if FRAMES not in image.info:
            return None
        count = int(image.info[FRAMES])
        if not 1 <= count <= MOST_FRAMES or count * image.width * image.height > MOST_PIXELS:
            raise ValueError(f"it says that it has {count} frames of {image.width} x {image.height} pixels")
        frames = [torch.tensor(np.asarray(one)).permute(2, 0, 1) for one in _unrolled(image, count)]
        if len(frames) != count:
            raise ValueError(f"it says that it has {count} frames, and holds {len(frames)}")
        return torch.stack(frames)
    except Image.UnidentifiedImageError as error:
        raise source.unreadable("it is of another format, or broken") from error
    except Exception as error:  # decoders raise what they like on broken files
        raise source.unreadable(error) from error


def _unrolled(image: Any, count: int) -> Iterator[Image.Image]:
    """Yield every frame, those as often as they were that are stored once."""
    stored = getattr(image, "n_frames", 1)
    if stored == 1:
        yield from [image.convert("RGB")] * count
        return
    kept = [(one.convert("RGB"), float(one.info.get("duration", 0))) for one in ImageSequence.Iterator(image)]
    unit = sum(duration for _, duration in kept) / count
    for one, duration in kept:
        yield from [one] * max(1, round(duration / unit))


def as_gif(video: Tensor, rate: float) -> bytes:
    """Return the animated GIF of a video (F, 3, H, W) uint8 of so many frames per second."""
    first, *others = _pictures(video)
    buffer = io.BytesIO()
    first.save(buffer, format="GIF", save_all=True, append_images=others, duration=_milliseconds(rate), loop=0)
    return buffer.getvalue()


def contact_sheet(video: Tensor, count: int = 4) -> Image.Image:
    """Return one picture of `count` frames, spread evenly over a video (F, 3, H, W) uint8, two in a row."""
    chosen = [round(index * (len(video) - 1) / max(1, count - 1)) for index in range(min(count, len(video)))]
    pictures = [_picture(video[index]) for index in chosen]
    width, height = pictures[0].size
    across = min(2, len(pictures))
    sheet = Image.new("RGB", (width * across, height * -(-len(pictures) // across)))
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (width * (place % across), height * (place // across)))
    return sheet


def _pictures(video: Tensor) -> list[Image.Image]:
    return [_picture(frame) for frame in video]


def _picture(frame: Tensor) -> Image.Image:
    return Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())


def _milliseconds(rate: float) -> int:
    return max(1, round(1000 / rate))
