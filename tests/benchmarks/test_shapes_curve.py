from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from benchmarks.shapes_curve import curve, curve_scores, methods, sizes
from benchmarks.shapes_curve.methods import BEST, METHODS, OWN
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError
from fdplug.predict.comparison.variant import Variant
from fdplug.predict.generation import generate
from fdplug.shapes.training.batches import batch_of

UNIFORM = PropagationConfig(policy={"uniform": {"count": 2}}, injector="prior")
SMALL = (
    Variant(name="DDIM-50", sampler="ddim", steps=3),
    Variant(name="DDIM-2", sampler="ddim", steps=2),
    Variant(name="DPM-Solver++-2, Karras", sampler={"dpm-solver++": {"karras": True}}, steps=2),
    Variant(name="DDPM-3", sampler="ddpm", steps=3),
    Variant(name="DDPM-2", sampler="ddpm", steps=2),
    Variant(name="DDIM-50, 2 uniform keys", sampler="ddim", steps=3, propagation=UNIFORM),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("curve") / "out"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods.METHODS, BEST, SMALL)
    monkeypatch.setattr(curve_scores, "REFERENCE_PICTURES", 80)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_the_command_scores_every_method(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curve.main(["--out", str(folder), "--captions", "4"])
    stored = json.loads((folder / "curve.json").read_text())
    assert set(stored["rows"]) == {
        "drawn",
        "drawn, captions shifted",
        "reconstructed",
        *(method.name for method in SMALL),
    }
    base, other = stored["rows"]["DDIM-50"], stored["rows"]["DDIM-2"]
    assert "difference" not in base["all"]
    assert "psnr" not in base
    assert other["psnr"]["value"] > 10
    assert 0 < other["detail"]["value"] <= 1
    assert other["shapes_lpips"]["value"] > 0
    noise = stored["rows"]["DDPM-2"]
    assert noise["against"] == "DDPM-3"
    assert "psnr" not in noise, "fresh noise makes other pictures"
    assert noise["all"]["difference"] == pytest.approx(noise["all"]["value"] - stored["rows"]["DDPM-3"]["all"]["value"])
    assert [base["calls"], other["calls"]] == [3, 2]
    for key in ("all", "texture_db", "frechet_x1000"):
        assert other[key]["difference"] == pytest.approx(other[key]["value"] - base[key]["value"], rel=1e-3, abs=1e-3)
        assert other[key]["difference_error"] >= 0
    assert stored["rows"]["drawn"]["texture_db"]["value"] == 0
    assert stored["settings"] == {"model": "shapes", "captions": 4, "guidance": 7.5, "seed": 0}
    assert (folder / "curve.png").stat().st_size > 5000
    lines = list(csv.DictReader((folder / "curve.csv").read_text().splitlines()))
    assert {line["method"] for line in lines} == set(stored["rows"])
    assert "| DDIM-50 |" in (folder / "curve.md").read_text() == capsys.readouterr().out.rstrip("\n") + "\n"


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_pictures_that_are_there_are_not_generated_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the noise of picture i is that of seed + i, whatever its id."""
    before = (folder / "curve.json").read_text()
    seeds = {entry["seed"] for entry in map(json.loads, (folder / "manifest.jsonl").read_text().splitlines())}
    assert seeds == {0, 1, 2, 3}
    monkeypatch.setattr(generate, "call_pipeline", lambda *a: pytest.fail("something was generated"))
    curve.main(["--out", str(folder), "--captions", "4"])
    assert (folder / "curve.json").read_text() == before
    curve.main(["--out", str(folder), "--captions", "4", "--finished"])
    assert (folder / "curve.json").read_text() == before
    with pytest.raises(ConfigError, match="captions 4 -> 3"):
        curve.main(["--out", str(folder), "--captions", "3"])


def test_methods_have_their_own_names_and_files() -> None:
    for found in METHODS.values():
        assert len({method.name for method in found}) == len({method.slug for method in found}) == len(found)
    steps = [method.steps for method in METHODS[OWN] if method.sampler == "ddim" and method.propagation is None]
    assert steps == [50, 25, 15, 9, 6, 4]


def test_methods_are_compared_with_the_longest_run_of_their_kind() -> None:
    found = {one.name: methods.baseline(one, METHODS[BEST]) for one in METHODS[BEST]}
    assert {one for name, one in found.items() if name.startswith("DDPM")} == {"DDPM-50, trailing"}
    assert {one for name, one in found.items() if not name.startswith("DDPM")} == {"DDIM-50"}
    names = list(found)
    assert all(names.index(against) <= names.index(name) for name, against in found.items())
    assert {methods.baseline(one, METHODS["shapes-flow"]) for one in METHODS["shapes-flow"]} == {"Euler-28"}


def test_rows_of_one_sampler_and_placement_are_a_line() -> None:
    lines = {one.name: curve_scores.line_of(one) for one in METHODS[BEST]}
    assert lines["DDIM-50"] == "DDIM"
    assert lines["DDIM-16, trailing"] == lines["DDIM-6, trailing"] == "DDIM, trailing"
    assert lines["DPM-Solver++-10, Karras"] == "DPM-Solver++, Karras"


def test_methods_are_chosen_by_name() -> None:
    assert [one.name for one in methods.chosen(OWN, ["DDIM-9"])] == ["DDIM-50", "DDIM-9"]
    assert methods.chosen(OWN, None) == list(METHODS[OWN])
    with pytest.raises(ConfigError, match="no method 'DDIM-8', did you mean 'DDIM-"):
        methods.chosen(OWN, ["DDIM-8"])


def test_psnr_of_known_errors() -> None:
    base = torch.full((2, 3, 64, 64), 0.5)
    changed = base.clone()
    changed[1] += 0.1
    found = curve_scores.psnr(changed, base)
    assert found[1].item() == pytest.approx(20, abs=1e-4)
    assert found[0].item() == pytest.approx(54.15, abs=0.01)


def test_ssim_of_a_picture_with_itself_is_one(scenes: list) -> None:
    images = batch_of(scenes[:3]).images
    torch.testing.assert_close(curve_scores.ssim(images, images), torch.ones(3), atol=1e-3, rtol=0)


@pytest.mark.slow
def test_larger_pictures_are_judged_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sizes, "SIZES", (64, 96))
    monkeypatch.setattr(sizes, "SHOWN", 2)
    sizes.main(["--out", str(tmp_path), "--captions", "2", "--steps", "2"])
    found = json.loads((tmp_path / "sizes.json").read_text())["rows"]
    assert list(found) == ["drawn", "64 x 64", "96 x 96"]
    assert found["drawn"]["all"]["value"] == 1
    assert found["96 x 96"]["all"]["value"] == 0, "two steps draw nothing yet"
    assert capsys.readouterr().out == (tmp_path / "sizes.md").read_text()
    assert (tmp_path / "sizes.png").stat().st_size > 3000


def test_pictures_are_made_smaller_by_averaging() -> None:
    images = torch.arange(128.0 * 128).reshape(1, 1, 128, 128).expand(1, 3, 128, 128)
    found = sizes.smaller(images)
    assert found.shape == (1, 3, 64, 64)
    assert found[0, 0, 0, 0] == (0 + 1 + 128 + 129) / 4
