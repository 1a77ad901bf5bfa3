"""MP4: what is written is read back almost as it was, and a missing package says how to install it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fdplug.errors import ConfigError, DataError
from fdplug.files import films
from fdplug.files.films import decode_film, encode_film, is_film, need_films
from fdplug.files.source import Source

SOURCE = Source(Path("film.mp4"), "video", "make it again")


def moving(frames, height, width):
    """A bright bar that wanders over smooth colors."""
    rows = torch.linspace(0, 200, height).round()[:, None].expand(height, width)
    columns = torch.linspace(0, 200, width).round()[None].expand(height, width)
    video = torch.stack([rows, columns, rows], 0)[None].repeat(frames, 1, 1, 1)
    for number in range(frames):
        video[number, :, :, 2 * number : 2 * number + 4] = 255
    return video.to(torch.uint8)


def test_a_film_comes_back_almost_as_it_was():
    pytest.importorskip("av")
    given = moving(6, 32, 48)
    found = decode_film(encode_film(given, 16), SOURCE)
    assert found.shape == (6, 32, 48, 3)
    errors = np.abs(found.astype(int) - given.permute(0, 2, 3, 1).numpy().astype(int))
    assert errors.mean() < 4
    assert np.abs(found[0].astype(int) - found[5].astype(int)).mean() > 5, "the bar has moved"


def test_a_film_plays_at_its_rate_and_has_even_sides():
    av = pytest.importorskip("av")
    import io

    with av.open(io.BytesIO(encode_film(moving(5, 31, 47), 23.976))) as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.height) == (48, 32)
        assert float(stream.average_rate) == pytest.approx(23.976, abs=0.01)
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert len(list(film.decode(video=0))) == 5


def test_a_broken_film_is_named():
    pytest.importorskip("av")
    with pytest.raises(DataError, match=r"cannot read the video film.mp4: .*make it again"):
        decode_film(b"no film at all", SOURCE)


def test_a_film_that_is_too_long_is_refused(monkeypatch):
    pytest.importorskip("av")
    data = encode_film(moving(6, 16, 16), 8)
    monkeypatch.setattr(films, "MOST_FRAMES", 4)
    with pytest.raises(DataError, match="it has more than 4 frames of 16 x 16 pixels"):
        decode_film(data, SOURCE)


def test_where_the_package_is_missing_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setattr(films, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"reading .mp4 files needs av: pip install 'fdplug\[video\]'"):
        need_films("reading .mp4 files")
    assert is_film(Path("a.MP4"))
    assert not is_film(Path("a.png"))
