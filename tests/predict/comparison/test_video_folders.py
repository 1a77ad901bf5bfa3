"""`fdplug evaluate` of folders of videos: steadiness, motion and frame by frame scores, from animated PNGs and MP4."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from fdplug.commands.evaluate import main
from fdplug.errors import ConfigError, DataError
from fdplug.files.films import encode_film
from fdplug.files.videos import as_gif, encode_video
from fdplug.predict.storage.atomic import encode_png
from fdplug.scores.features.images import ImageFolder


def videos(count, seed, frames=4, size=16):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, frames, 3, size, size), dtype=torch.uint8, generator=generator)


def folder(path, made, suffix=".png"):
    path.mkdir()
    for number, one in enumerate(made):
        data = encode_film(one, 8) if suffix == ".mp4" else encode_video(one, 8)
        (path / f"{number:012d}{suffix}").write_bytes(data)
        if suffix == ".png":
            (path / f"{number:012d}.gif").write_bytes(as_gif(one, 8))
    return path


def test_videos_are_scored_in_time_and_frame_by_frame(tmp_path):
    fast, plain = videos(3, 0), videos(3, 1)
    given = [str(folder(tmp_path / "fast", fast)), "--baseline", str(folder(tmp_path / "plain", plain))]
    assert main([*given, "--batch-size", "2", "--out", str(tmp_path / "scores.json")]) == 0
    base, row = json.loads((tmp_path / "scores.json").read_text())
    assert [row["count"], base["count"]] == [3, 3]
    for one, made in ((row, fast), (base, plain)):
        changes = np.abs(np.diff(made.numpy().astype(float), axis=1)).mean((1, 2, 3, 4))
        assert one["steadiness"] == pytest.approx(float((1 - changes / 255).mean()))
    errors = np.square(fast.numpy().astype(float) - plain.numpy().astype(float)).mean((2, 3, 4))
    assert row["psnr"] == pytest.approx(float((10 * np.log10(255**2 / errors)).mean()), rel=1e-5)
    moves = [np.diff(made.numpy().astype(float), axis=1) for made in (fast, plain)]
    errors = np.square(moves[0] - moves[1]).mean((1, 2, 3, 4))
    assert row["motion_psnr"] == pytest.approx(float((10 * np.log10(255**2 / errors)).mean()), rel=1e-5)
    assert row["steadiness_change"] == pytest.approx(row["steadiness"] - base["steadiness"])


def test_films_of_other_programs_are_read(tmp_path):
    pytest.importorskip("av")
    still = videos(1, 0)[:, :1].repeat(2, 5, 1, 1, 1)
    path = folder(tmp_path / "films", still, ".mp4")
    assert main([str(path), "--out", str(tmp_path / "scores.json")]) == 0
    (row,) = json.loads((tmp_path / "scores.json").read_text())
    assert row["count"] == 2
    assert row["steadiness"] == pytest.approx(1, abs=0.01)


def test_a_copy_beside_a_video_is_not_read_twice(tmp_path):
    path = folder(tmp_path / "both", videos(2, 0))
    (path / f"{0:012d}.mp4").write_bytes(b"a copy")
    found = ImageFolder(path)
    assert (len(found), found.media, found.size()) == (2, "video", (16, 16))


def test_images_and_videos_are_told_apart(tmp_path):
    video = folder(tmp_path / "video", videos(1, 0))
    image = tmp_path / "image"
    image.mkdir()
    (image / f"{0:012d}.png").write_bytes(encode_png(videos(1, 0)[0, 0]))
    with pytest.raises(DataError, match=r"image holds images, .*video videos; evaluate them one after the other"):
        main([str(video), str(image)])
    with pytest.raises(ConfigError, match="score 'temporal' cannot be computed of images; leave it out"):
        main([str(image), "--scores", "temporal"])
    with pytest.raises(DataError, match="holds videos; real images are pictures"):
        main([str(image), "--scores", "fid", "--real-images", str(video), "--extractor", "shapes"])


def test_videos_of_unequal_length_say_so(tmp_path):
    path = folder(tmp_path / "video", videos(1, 0))
    (path / f"{1:012d}.png").write_bytes(encode_video(videos(1, 1, frames=3)[0], 8))
    with pytest.raises(DataError, match=r"4x16x16 and 3x16x16 pixels .* take videos of equal length"):
        main([str(path)])
    assert main([str(path), "--batch-size", "1"]) == 0
