"""Sounds as WAV files of 16 bits."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.files.source import Source


def encode_sound(sound: Tensor, rate: float) -> bytes:
    """Return the WAV of a sound (channels, samples) int16 of so many samples per second."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(len(sound))
        file.setsampwidth(2)
        file.setframerate(round(rate))
        file.writeframes(sound.t().contiguous().numpy().astype("<i2").tobytes())
    return buffer.getvalue()


def decode_sound(data: bytes, source: Source) -> Tensor:
    """Return the sound (channels, samples) int16 of a WAV of 16 bits.

    Raises:
        DataError: it cannot be read.
    """
    import torch

    try:
        with wave.open(io.BytesIO(data)) as file:
            if file.getsampwidth() != 2:
                raise ValueError(f"it has samples of {8 * file.getsampwidth()} bits, not of 16")
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
            return torch.from_numpy(samples).reshape(-1, file.getnchannels()).t().contiguous()
    except Exception as error:  # wave raises its own, EOFError, ValueError ... on broken files
        raise source.unreadable(error) from error
