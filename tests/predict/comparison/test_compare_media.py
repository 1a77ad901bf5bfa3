"""`compare` on pipelines that make videos, or images from pictures, classes or nothing: killed, scored, shown."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from fdplug import registry
from fdplug.commands.compare import main
from fdplug.errors import ConfigError, DataError, PipelineError
from fdplug.predict.data.subjects import read_subjects
from fdplug.predict.generation import loading
from fdplug.predict.storage.preview import preview, read
from fdplug.testing.systems import SYSTEMS
from tests.predict.killing import run_until

QUICK = ["--clip-model", "none", "--feature-changes", "0", "--timed-rounds", "1", "--device", "cpu", "--limit", "2"]
VARIANTS = [
    "--variants",
    "ddim-3",
    "{name: fast, sampler: ddim, steps: 3, propagation: {policy: {uniform: {interval: 2}}}}",
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the folder of a system's pipeline."""
    folder, known = tmp_path_factory.mktemp("models"), set()

    def saved(name):
        if name not in known:
            known.add(name)
            with loading.quiet_loading():
                SYSTEMS[name].make().save_pretrained(folder / name)
        return str(folder / name)

    return saved


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text("a red circle\na blue square\n")
    return str(path)


def compared(model, subjects, out, *options):
    arguments = ["--model", model, "--annotations", subjects, "--out", str(out), *QUICK, *VARIANTS, *options]
    assert main(arguments) == 0
    return json.loads((out / "results.json").read_text())


VIDEO = ["--arguments", "{num_frames: 3, height: 16, width: 16}", "--batch-size", "1"]


@pytest.fixture(scope="module")
def whole(saved, prompts, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    compared(saved("text-to-video"), prompts, out, *VIDEO)
    return out


def test_videos_are_scored_frame_by_frame_and_from_frame_to_frame(whole):
    plain, fast = json.loads((whole / "results.json").read_text())["variants"]
    pairs = [
        [read(whole / "images" / one / f"{index:012d}.png").double() for one in ("fast", "ddim-3")] for index in (0, 1)
    ]
    frames = [10 * np.log10(255**2 / (own - other).square().flatten(1).mean(1)).mean() for own, other in pairs]
    assert fast["psnr"] == pytest.approx(np.mean(frames), abs=1e-4)
    moved = [(own.diff(dim=0) - other.diff(dim=0)).square().mean() for own, other in pairs]
    assert fast["motion_psnr"] == pytest.approx(np.mean([10 * np.log10(255**2 / one) for one in moved]), abs=1e-4)
    steady = [1 - other.diff(dim=0).abs().mean() / 255 for _, other in pairs]
    assert plain["steadiness"] == pytest.approx(np.mean(steady), abs=1e-6)
    assert plain["motion_psnr"] is None


def test_the_report_plays_videos_and_the_picture_of_all_shows_frames(whole):
    found = re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", (whole / "report.html").read_text())
    moving = [Image.open(io.BytesIO(base64.b64decode(one))) for one in found]
    assert len(moving) == 4
    assert {one.n_frames for one in moving} == {3}
    sheet = np.asarray(Image.open(whole / "side_by_side.png").convert("RGB"))
    shown = preview(read(whole / "images" / "ddim-3" / f"{0:012d}.png"))
    cell = np.asarray(shown.resize((128, 128), Image.Resampling.NEAREST))
    rows, columns = (size - 127 for size in sheet.shape[:2])
    assert any(
        (sheet[y : y + 128, x : x + 128] == cell).all() for y in range(rows) for x in range(190, min(columns, 220))
    )


@pytest.mark.parametrize("operation", [20, pytest.param(35, marks=pytest.mark.slow)])
def test_a_killed_comparison_of_videos_goes_on(saved, prompts, whole, tmp_path, operation):
    out = tmp_path / "out"
    assert run_until(lambda: compared(saved("text-to-video"), prompts, out, *VIDEO), operation)
    rows = compared(saved("text-to-video"), prompts, out, *VIDEO)["variants"]
    files = {path.relative_to(whole): path.read_bytes() for path in whole.glob("images/*/*")}
    assert {path.relative_to(out): path.read_bytes() for path in out.glob("images/*/*")} == files
    before = json.loads((whole / "results.json").read_text())["variants"]
    for key in ("psnr", "ssim", "steadiness", "motion_psnr", "gflops_per_image", "key_steps"):
        assert [row[key] for row in rows] == [row[key] for row in before]


@pytest.mark.parametrize(
    ("name", "subjects"),
    [("ddpm", "samples"), ("dit", "classes"), pytest.param("dit", "classes:7,3", marks=pytest.mark.slow)],
)
def test_models_without_prompts_are_compared(saved, tmp_path, name, subjects):
    results = compared(saved(name), subjects, tmp_path / "out")
    expected = {"samples": ["", ""], "classes": ["class 0", "class 1"], "classes:7,3": ["class 7", "class 3"]}
    assert results["captions"] == expected[subjects]
    assert results["variants"][1]["psnr"] < 99
    assert len(list((tmp_path / "out").glob("images/*/*.png"))) == 4


def test_images_are_made_from_pictures(saved, prompts, tmp_path):
    (tmp_path / "from").mkdir()
    for index in range(2):
        Image.new("RGB", (16, 16), (200 * index, 90, 60)).save(tmp_path / "from" / f"{index}.png")
    options = ["--inputs", f"{{image: {tmp_path / 'from'}}}", "--arguments", "{strength: 0.7}"]
    compared(saved("sd-img2img"), prompts, tmp_path / "out", *options)
    pipe = loading.load_pipeline(saved("sd-img2img"))
    line = json.loads((tmp_path / "out" / "manifest.jsonl").read_text().splitlines()[0])
    pipe.scheduler = registry.build("sampler", "ddim").fit(pipe.scheduler)
    seed = torch.Generator().manual_seed(line["seed"])
    with torch.no_grad():
        image = Image.new("RGB", (16, 16), (0, 90, 60))
        made = pipe(line["caption"], image=image, strength=0.7, num_inference_steps=3, generator=seed, output_type="np")
    found = read(tmp_path / "out" / "images" / "ddim-3" / f"{line['id']:012d}.png").permute(1, 2, 0)
    assert (found.int() - torch.tensor((made.images[0] * 255).round()).int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("name", "subjects", "options", "message"),
    [
        ("sd-img2img", None, (), "StableDiffusionImg2ImgPipeline needs a picture for every caption"),
        ("sd", None, ("--inputs", "{image: nowhere}"), "no column 'image'|no folder|no column 'nowhere'"),
        ("ddpm", None, (), "takes no prompt: it generates from nothing"),
        ("dit", None, (), "takes no prompt but class labels"),
        ("sd", "classes", (), "generates from prompts, not class labels"),
        ("dit", "classes:x", (), "classes are whole numbers with commas between"),
        ("text-to-video", None, ("--scores", "fid"), "'fid' cannot be computed of videos"),
        ("sd", None, ("--scores", "temporal"), "'temporal' cannot be computed of images"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(
    prompts, tmp_path, monkeypatch, name, subjects, options, message
):
    monkeypatch.setattr("fdplug.commands.compare.load_pipeline", lambda *a, **k: pytest.fail("it was loaded"))
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": SYSTEMS[name].pipeline}))
    with pytest.raises((PipelineError, ConfigError, DataError), match=message):
        compared(str(tmp_path), subjects or prompts, tmp_path / "out", *options)


def test_more_images_of_each_class_where_more_are_wanted():
    found = read_subjects("classes:5,2", 3)
    assert [(one.image_id, one.label) for one in found] == [(5, 5), (2, 2), (1005, 5)]
