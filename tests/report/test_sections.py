"""The data of every section against plain arithmetic."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from fdplug.errors import ConfigError, DataError
from fdplug.report.charts import quality_against_cost
from fdplug.report.figures import figures
from fdplug.report.folder import read
from fdplug.report.gallery import gallery
from fdplug.report.page import finite, short
from fdplug.report.pictures import Album, pixels
from fdplug.report.running_costs import Rates, cost, costs
from fdplug.report.scores import change, psnr
from fdplug.report.timeline import GAP, WIDTH, timeline
from fdplug.scores import Batch
from fdplug.scores.fidelity import Fidelity
from tests.report.conftest import results, row


def _decoded(uri):
    head, _, content = uri.partition(",")
    return head, Image.open(io.BytesIO(base64.b64decode(content)))


def test_small_pictures_are_embedded_as_they_are(folder):
    album = Album(side=64)
    path = folder / "images" / "fast" / "000000000003.png"
    assert album.add("a", path) == "a"
    head, picture = _decoded(album.uris["a"])
    assert head == "data:image/png;base64"
    assert (np.asarray(picture) == pixels(path)).all()
    assert not album.reduced


def test_large_pictures_are_reduced(tmp_path):
    Image.new("RGB", (100, 50), "red").save(tmp_path / "x.png")
    album = Album(side=40)
    album.add("a", tmp_path / "x.png")
    head, picture = _decoded(album.uris["a"])
    assert (head, picture.size) == ("data:image/webp;base64", (40, 20))
    assert album.reduced
    assert album.megabytes == len(album.uris["a"]) / 1e6


def test_a_broken_picture_is_named(tmp_path):
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    with pytest.raises(DataError, match=r"cannot read the picture .*x\.png"):
        pixels(tmp_path / "x.png")


def test_scores_of_single_pictures(folder):
    """Of one picture, PSNR and SSIM are what `compare` computes over all."""
    first, second = (folder / "images" / name / "000000000003.png" for name in ("fast", "ddim-10"))
    a, b = pixels(first).astype(float), pixels(second).astype(float)
    found = change(first, second)
    assert found["psnr"] == pytest.approx(20 * math.log10(255 / math.sqrt(((a - b) ** 2).mean())))
    fidelity, images = Fidelity(), [torch.tensor(pixels(path)).permute(2, 0, 1)[None] for path in (first, second)]
    fidelity.begin()
    fidelity.update(Batch(images[0], baseline=images[1]))
    assert found == pytest.approx(fidelity.compute(), rel=1e-5)
    assert psnr(a, a) is None


def test_the_gallery_pairs_every_variant_with_its_own_baseline(folder):
    compared = read(folder)
    found = gallery(compared, count=2, side=64)
    assert [(one["name"], one["against"]) for one in found["shown"]] == [
        ("fast", "ddim-10"),
        ("same", "ddim-10"),
        ("ddim-5", "ddim-10"),
    ]
    assert [one["psnr"] for one in found["shown"][1]["pictures"]] == [None, None]
    assert len(found["album"]) == 8, "the baseline's pictures are stored once"
    for one in found["shown"]:
        for picture in one["pictures"]:
            _, embedded = _decoded(found["album"][picture["own"]])
            assert (np.asarray(embedded) == pixels(compared.picture(one["name"], picture["caption"]))).all()
    assert "the first 2 of 3 pictures" in found["note"]


def test_pictures_of_shapes_are_judged_one_by_one(tmp_path):
    """Drawn references, half of them under the caption of another."""
    from fdplug.report.scores import mistakes
    from fdplug.shapes.drawing import draw
    from fdplug.shapes.scene import random_scene

    scenes = [random_scene(np.random.default_rng(seed)) for seed in range(8)]
    paths = []
    for index, scene in enumerate(scenes):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(draw(scene)).save(paths[-1])
    captions = [scene.caption for scene in scenes]
    right = mistakes(paths, captions)
    wrong = mistakes(paths, [*captions[1:], captions[0]])
    assert sum(not one for one in right) >= 7
    assert sum(bool(one) for one in wrong) >= 7
    assert {what for one in wrong for what in one} <= {"layout", "background", "size", "fill", "colour", "shape"}


def test_a_timeline_touches_within_a_pass():
    line = timeline(row("fast", (0, 1, 5), 10, 1.0, 7.0, "ddim-10"))
    assert [cell.step for cell in line.cells if cell.key] == [0, 1, 5]
    assert len(line.cells) == 10
    size = WIDTH / 10
    assert [cell.x for cell in line.cells] == pytest.approx([index * size for index in range(10)])
    assert [cell.step for cell in line.cells if cell.width == pytest.approx(size - GAP)] == [0, 4, 9]
    assert line.summary == "computed at 0, 1, 5; 10 steps in 3 passes"
    assert timeline(results()["variants"][0]).summary == "every one of 10 steps computed, 10 passes"


def test_costs_by_hand():
    """3.6 s an image: 10 hours for 10,000; at 300 W 3 kWh; at 500 g 1.5 kg; at 2 an hour 20."""
    found = cost(3.6, Rates(power=300, price=2, carbon=500))
    assert found == pytest.approx({"hours": 10, "energy": 3, "carbon": 1.5, "price": 20})
    assert [one["name"] for one in costs(results()["variants"], Rates())] == ["ddim-10", "fast", "same", "ddim-5"]


def test_impossible_rates_are_refused():
    with pytest.raises(ConfigError, match="power must be a number of at least 0"):
        Rates(power=-1)


def test_qualities_are_chosen_by_what_is_there():
    found = quality_against_cost(results()["variants"])
    assert [(one["key"], one["better"]) for one in found["qualities"]] == [
        ("fid", "less"),
        ("psnr", "more"),
        ("ssim", "more"),
    ]
    assert found["points"][0]["values"] == {"fid": 20.0, "gflops_per_image": 10.0, "seconds_per_image": 2.0}
    assert [one["propagated"] for one in found["points"]] == [False, True, True, False]


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1234"), (99.94, "99.9"), (1.0, "1.00"), (0.045, "0.0450")])
def test_three_digits(value, text):
    assert short(value) == text


def test_infinite_values_sort():
    assert [finite(None), finite(float("inf")), finite(2)] == ["", "Infinity", 2]


def test_figures_of_another_folder(tmp_path):
    with pytest.raises(DataError, match=r"no figure \(\*\.svg\) in"):
        figures(tmp_path)
    (tmp_path / "mse_of_blocks.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (found,) = figures(tmp_path)
    assert found["name"] == "mse of blocks"
    assert base64.b64decode(found["uri"].partition(",")[2]).startswith(b"<svg")
