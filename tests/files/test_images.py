"""Pictures of which a byte has changed: the very picture, or refused in one line."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fdplug.errors import DataError
from fdplug.files.images import decoded
from fdplug.files.source import Source
from fdplug.files.videos import encode_video
from fdplug.predict.storage.coding import decode

SOURCE = Source(Path("one.png"), "picture", "make it again")


def smooth(size=64):
    """A picture that is stored in few bytes, each of which many pixels depend on."""
    slope = np.add.outer(np.arange(size), 2 * np.arange(size)).astype(np.uint8)
    return np.repeat(slope[:, :, None], 3, axis=2)


def stored(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", **options)
    return buffer.getvalue()


def harmed(data, count=300):
    """Yield copies of which one bit is another, and some that are cut off."""
    moments = random.Random(0)
    for number in range(count):
        copy = bytearray(data)
        copy[moments.randrange(len(data))] ^= 1 << moments.randrange(8)
        yield bytes(copy) if number % 5 else data[: moments.randrange(len(data))]


def test_a_harmed_picture_is_not_taken_for_another():
    pixels, refused = smooth(), 0
    for data in harmed(stored(pixels)):
        try:
            assert np.array_equal(np.asarray(decoded(data, SOURCE)), pixels)
        except DataError:
            refused += 1
    assert refused > 250


def test_a_harmed_video_is_not_taken_for_another_or_a_picture():
    video = torch.tensor(smooth(16)).permute(2, 0, 1).repeat(3, 1, 1, 1)
    video[1], video[2] = video[1] // 2, video[2] // 3
    for data in harmed(encode_video(video, 8)):
        found = decode(data, SOURCE)
        assert found is None or torch.equal(found, video)


def test_why_is_said():
    data = bytearray(stored(smooth()))
    data[data.index(b"IDAT") + 40] ^= 1
    with pytest.raises(DataError, match=r"one\.png.*it has changed since it was written.*make it again"):
        decoded(bytes(data), SOURCE)
