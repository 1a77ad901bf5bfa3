"""`fdplug evaluate` on finished folders."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console

from fdplug.commands.evaluate import evaluate, main, parser
from fdplug.errors import ConfigError, DataError
from fdplug.scores.features.clip import load_clip
from fdplug.scores.features.extractors import load_extractor
from fdplug.scores.ftc import ftc
from tests.predict.conftest import document, written
from tests.scores.conftest import clip_folder, pictures, save_pictures, vit_folder  # noqa: F401  fixtures
from tests.scores.test_frechet import _reference_frechet_distance

pytestmark = pytest.mark.filterwarnings("ignore:Frechet distance of")
CAPTIONS = [f"a {colour} {shape}" for colour in ("red", "green", "blue") for shape in ("circle", "square", "dot")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Nine un-accelerated images, the same with noise, a real set, and annotations whose ids are the file names."""
    folder = tmp_path_factory.mktemp("place")
    plain = pictures(9, seed=1)
    noise = torch.randint(-20, 21, plain.shape, generator=torch.Generator().manual_seed(0))
    save_pictures(plain, folder / "plain")
    save_pictures((plain.int() + noise).clamp(0, 255).to(torch.uint8), folder / "fast")
    save_pictures(pictures(11, 24, seed=3), folder / "real")
    record = document(CAPTIONS)
    for one in record["images"]:
        one["id"] = (one["id"] - 3) // 7
    for one in record["annotations"]:
        one["image_id"] = (one["image_id"] - 3) // 7
    written(folder, record)
    return folder


def _run(*arguments):
    printed = io.StringIO()
    options = parser().parse_args([*map(str, arguments), "--device", "cpu"])
    return evaluate(options, Console(file=printed, width=300)), printed.getvalue()


def _read(folder):
    from tests.predict.conftest import opened

    return torch.stack([torch.tensor(opened(path)).permute(2, 0, 1) for path in sorted(folder.glob("*.png"))])


def test_everything_about_two_folders(place, vit_folder, clip_folder, tmp_path):  # noqa: F811
    metrics = "fid,is,pr,clip,psnr,ssim,ftc"
    rows, printed = _run(
        place / "fast", "--baseline", place / "plain", "--scores", metrics, "--real-images", place / "real",
        "--annotations", place / "captions.json", "--extractor", vit_folder, "--clip-model", clip_folder,
        "--batch-size", 4, "--seconds", 2.5, "--out", tmp_path / "out.json",
    )  # fmt: skip
    plain, fast = rows
    assert [row["name"] for row in rows] == ["plain", "fast"]
    assert json.loads((tmp_path / "out.json").read_text()) == rows
    features = load_extractor(vit_folder).features
    real = _read(place / "real")[:, :, 4:20, 4:20]
    assert real.shape[2:] == (16, 16)
    for row in rows:
        assert {"fid", "inception_score", "precision", "recall", "clip_score", "clip_score_se", "count"} <= set(row)
        cosines = _cosines(load_clip(clip_folder), _read(place / row["name"]))
        assert row["clip_score"] == pytest.approx(max(cosines.mean(), 0), abs=1e-4)
    assert "psnr" not in plain
    a, b = _read(place / "fast").double(), _read(place / "plain").double()
    decibels = 10 * torch.log10(255**2 / (a - b).square().mean((1, 2, 3)))
    assert fast["psnr"] == pytest.approx(decibels.mean().item(), rel=1e-6)
    assert fast["ftc"] == pytest.approx(ftc(fast["fid"], 2.5, fast["clip_score"]))
    changes = _cosines(load_clip(clip_folder), a.byte()) - _cosines(load_clip(clip_folder), b.byte())
    assert fast["clip_score_change"] == pytest.approx(changes.mean(), abs=1e-4)
    assert fast["clip_score_change_se"] == pytest.approx(changes.std(ddof=1) / 3, abs=1e-4)
    assert "FID" in printed
    assert f"{fast['clip_score']:.2f} ±{fast['clip_score_se']:.2f}" in printed
    assert features(a.byte()).shape == (9, 16)


def _cosines(clip, images):
    with torch.no_grad():
        texts = clip.texts(CAPTIONS)
        return (100 * (clip.images(images) * texts).sum(1)).double().numpy()


def test_real_images_are_cropped_to_the_size_of_the_others(place, vit_folder, tmp_path):  # noqa: F811
    from fdplug.scores.features.images import ImageFolder

    (row,) = _run(place / "fast", "--scores", "fid", "--real-images", place / "real", "--extractor", vit_folder)[0]
    source, features = ImageFolder(place / "real"), load_extractor(vit_folder).features
    real = torch.stack([torch.tensor(source.read(index, (16, 16))).permute(2, 0, 1) for index in range(11)])
    sets = [features(one).double().numpy() for one in (_read(place / "fast"), real)]
    assert row["fid"] == pytest.approx(_reference_frechet_distance(*sets), rel=1e-3)


def test_saved_statistics_stand_for_the_real_images(place, vit_folder, tmp_path):  # noqa: F811
    path = tmp_path / "real.npz"
    save = ("--save-statistics", path, "--extractor", vit_folder, "--size", 16)
    rows, printed = _run(place / "real", *save)
    assert rows == []
    assert "11 images, ViTForImageClassification-" in printed
    same = (place / "fast", "--scores", "fid", "--extractor", vit_folder)
    direct, stored = _run(*same, "--real-images", place / "real")[0][0], _run(*same, "--real-images", path)[0][0]
    assert stored["fid"] == pytest.approx(direct["fid"], rel=1e-9)
    _run(place / "real", *save[:-1], 24)
    with pytest.raises(DataError, match="is of images cropped to 24x24, the images are 16x16"):
        _run(*same, "--real-images", path)


def test_equal_folders_are_equal(place, vit_folder, tmp_path):  # noqa: F811
    rows, printed = _run(place / "plain", "--baseline", place / "plain", "--out", tmp_path / "x.json")
    assert rows[1]["psnr"] is None
    assert rows[1]["identical"] is True
    assert rows[1]["ssim"] == pytest.approx(1)
    assert "equal" in printed
    assert "Infinity" not in (tmp_path / "x.json").read_text()


def test_the_embedded_model_s_own_scores_are_the_default_for_it(tmp_path):
    from fdplug import shapes
    from fdplug.predict.data.captions import read_captions
    from fdplug.predict.data.references import ReferenceImages

    captions = read_captions("shapes", 5)
    references = ReferenceImages(captions)
    drawn = [torch.tensor(references.read(index)).permute(2, 0, 1) for index in range(5)]
    from fdplug.predict.storage.atomic import write_png

    for caption, image in zip(captions, drawn, strict=True):
        write_png(image, tmp_path / caption.output_name)
    if not shapes.evaluators_folder().is_dir():
        pytest.skip("the embedded model is not in this tree")
    (row,) = _run(tmp_path, "--annotations", "shapes", "--scores", "auto")[0]
    assert row["semantic_accuracy"] == 1.0
    assert not {"fid", "clip_score"} & set(row)
    assert np.isfinite(row["shapes_fd"])


def test_a_manifest_and_metrics_tell_captions_and_seconds(place, tmp_path, clip_folder, vit_folder):  # noqa: F811
    folder = save_pictures(pictures(9, seed=1), tmp_path / "run")
    lines = [{"id": index, "caption": text, "file": f"{index:012d}.png"} for index, text in enumerate(CAPTIONS)]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "metrics.json").write_text('{"seconds_per_image": 0.5}')
    models = ("--extractor", vit_folder, "--clip-model", clip_folder, "--real-images", place / "real")
    (row,) = _run(folder, "--scores", "fid,clip,ftc", *models)[0]
    (again,) = _run(folder, "--scores", "clip", *models, "--annotations", place / "captions.json")[0]
    assert row["clip_score"] == pytest.approx(again["clip_score"])
    assert row["seconds_per_image"] == 0.5
    (folder / "manifest.jsonl").write_text("{")
    with pytest.raises(DataError, match=r"manifest.jsonl: line 1"):
        _run(folder, "--scores", "clip", *models)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{fast}"], "nothing to compute: give --real-images, --baseline, or name --scores"),
        (["{none}"], "no image folder '.*none'; name a folder of images"),
        (["{place}"], "holds no images"),
        (["{fast}", "--scores", "fod"], "no score 'fod', did you mean 'fid'"),
        (["{fast}", "--scores", "fid"], "fid: give --real-images"),
        (["{fast}", "--scores", "clip"], "nobody knows the captions of .*fast, it has no manifest.jsonl"),
        (["{fast}", "--scores", "psnr"], "fidelity: give --baseline"),
        (["{fast}", "--scores", "ftc"], "'ftc' is made of other scores; add those that give fid, clip_score"),
        (["{real}", "--annotations", "{captions}", "--scores", "clip"], "2 of 11 images in .*real have no caption"),
        (["{real}", "--baseline", "{plain}"], "2 of 11 images of .*real have no counterpart in .*plain; the first is"),
        (["{plain}", "--baseline", "{real}"], "are of 16x16 and 24x24 pixels; only equal sizes"),
        (["{fast}", "{plain}", "--save-statistics", "x.npz"], "takes the images of one folder"),
        (["{fast}", "--batch-size", "0"], "batch-size must be a whole number of at least 1"),
        (["{fast}", "--annotations", "{captions}", "--scores", "shapes"], "is not of the shapes world"),
        (["{fast}", "--bad"], "no option '--bad'"),
    ],
)
def test_what_cannot_be_computed_is_one_line(place, arguments, message):
    names = {name: place / name for name in ("fast", "plain", "real", "none")}
    given = [one.format(**names, place=place, captions=place / "captions.json") for one in arguments]
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        main([*given, "--device", "cpu"])
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"\x89PNG not", None])
def test_an_unreadable_image_is_named(place, tmp_path, content, vit_folder):  # noqa: F811
    folder = save_pictures(pictures(4, 64), tmp_path / "bad")
    whole = (folder / "000000000002.png").read_bytes()
    (folder / "000000000002.png").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(DataError, match=r"cannot read the image .*bad/000000000002\.png"):
        _run(folder, "--scores", "is", "--extractor", vit_folder)


def test_images_of_several_sizes_are_refused(tmp_path, vit_folder):  # noqa: F811
    folder = save_pictures(pictures(2, 16), tmp_path / "mixed")
    save_pictures(pictures(1, 24), tmp_path / "other")
    (tmp_path / "other" / "000000000000.png").rename(folder / "000000000009.png")
    with pytest.raises(DataError, match=r"images of 16x16 and 24x24 pixels \(number 2\) cannot be batched"):
        _run(folder, "--scores", "is", "--extractor", vit_folder)
