"""Sounds in WAV files: scipy reads what is written, and what is written comes back."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from fdplug.errors import DataError
from fdplug.files.sounds import decode_sound, encode_sound
from fdplug.files.source import Source

SOURCE = Source(Path("sound.wav"), "sound", "make it again")


@pytest.mark.parametrize("channels", [1, 2])
def test_samples_come_back_and_scipy_reads_them(channels):
    from scipy.io import wavfile

    given = torch.randint(-32768, 32768, (channels, 100), dtype=torch.int16)
    data = encode_sound(given, 44_100)
    assert torch.equal(decode_sound(data, SOURCE), given)
    rate, read = wavfile.read(io.BytesIO(data))
    assert rate == 44_100
    assert torch.equal(torch.tensor(read).reshape(100, channels).t(), given)


def test_a_broken_file_is_refused():
    with pytest.raises(DataError, match=r"cannot read the sound sound.wav"):
        decode_sound(b"RIFF", SOURCE)
