"""Videos in animated PNGs: every frame comes back, equal ones too, and others can play them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from fdplug.errors import DataError
from fdplug.files.images import read_image
from fdplug.files.source import Source
from fdplug.files.videos import as_gif, contact_sheet, decode_video, encode_video
from fdplug.predict.storage.atomic import encode_png

SOURCE = Source(Path("video.png"), "video", "make it again")


def video(frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, 3, 6, 10), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_every_frame_comes_back(frames):
    given = video(frames)
    assert torch.equal(decode_video(encode_video(given, 8), SOURCE), given)


@pytest.mark.parametrize("places", [(0, 0, 1), (0, 1, 1, 1, 2), (0, 0, 0), (0, 1, 0, 0)])
@pytest.mark.parametrize("rate", [8, 30, 23.976])
def test_equal_frames_in_a_row_come_back_as_often_as_they_were(places, rate):
    """Pillow stores them once, for longer."""
    given = video(3)[list(places)]
    assert torch.equal(decode_video(encode_video(given, rate), SOURCE), given)


def test_a_program_that_knows_no_videos_shows_the_first_frame():
    given = video(3)
    picture = Image.open(io.BytesIO(encode_video(given, 8)))
    assert picture.n_frames == 3
    assert picture.convert("RGB").tobytes() == given[0].permute(1, 2, 0).numpy().tobytes()


def test_a_picture_is_no_video():
    assert decode_video(encode_png(video(1)[0]), SOURCE) is None


def test_a_video_is_not_taken_for_a_picture(tmp_path):
    """`evaluate` would score its first frame."""
    path = tmp_path / "video.png"
    path.write_bytes(encode_video(video(3), 8))
    with pytest.raises(DataError, match="it is a video, where one image is needed"):
        read_image(path)


def test_a_gif_has_as_many_frames_and_their_length():
    gif = Image.open(io.BytesIO(as_gif(video(4), 10)))
    assert (gif.n_frames, gif.info["duration"]) == (4, 100)


def test_a_broken_file_is_refused():
    data = encode_video(video(5), 8)
    with pytest.raises(DataError, match=r"cannot read the video video.png"):
        decode_video(data[: len(data) // 2], SOURCE)


@pytest.mark.parametrize("data", [b"", b"no png"], ids=["empty", "text"])
def test_what_is_no_png_is_refused_in_words_of_ours(data):
    with pytest.raises(
        DataError, match=r"cannot read the video video\.png: it is of another format, or broken; make it"
    ):
        decode_video(data, SOURCE)


@pytest.mark.parametrize(("says", "message"), [(b"1000000000", "says that it has 1000000000 frames"), (b"x", "x")])
def test_a_file_that_says_too_much_is_refused(says, message):
    from PIL.PngImagePlugin import PngInfo

    said, buffer = PngInfo(), io.BytesIO()
    said.add_text("frames", says.decode())
    Image.new("RGB", (4, 4)).save(buffer, format="PNG", pnginfo=said)
    with pytest.raises(DataError, match=message):
        decode_video(buffer.getvalue(), SOURCE)


def test_a_contact_sheet_shows_the_first_and_the_last_frame():
    given = video(9)
    sheet = contact_sheet(given)
    assert sheet.size == (20, 12)
    first, last = sheet.crop((0, 0, 10, 6)), sheet.crop((10, 6, 20, 12))
    assert first.tobytes() == given[0].permute(1, 2, 0).numpy().tobytes()
    assert last.tobytes() == given[8].permute(1, 2, 0).numpy().tobytes()
