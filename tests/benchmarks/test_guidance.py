"""What guidance does to the price of fewer steps: read from the results of the frontier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.shapes_curve import guidance

ROOT = Path(__file__).parents[2]


def _row(name: str, accuracy: float, psnr: float = 30.0, family: str = "stock") -> dict[str, Any]:
    scores = {"accuracy": accuracy, "psnr": psnr, "texture": 2.0, "spectra": 6.0}
    return {
        "name": name,
        "family": family,
        "calls": int(name.rpartition("-")[2]),
        "scores": {key: {"value": value, "error": 0.1} for key, value in scores.items()},
        "against_reference": {key: {"value": accuracy - 0.9, "error": 0.02} for key in ("accuracy", "spectra")},
    }


RECORD = {
    "rows": [
        _row("euler-karras-8", 0.8),
        _row("euler-karras-16", 0.9),
        _row("euler-trailing-16", 0.9),
        _row("euler-trailing-8", 0.7),
        _row("ddim-leading-16", 0.9, 29.0),
        _row("ddim-leading-8", 0.7, 25.0),
        _row("ddim-trailing-16", 0.9, 32.0),
        _row("ddim-trailing-8", 0.7, 25.0),
        _row("dpm-solver++1-karras-16", 0.9),
        _row("trunk-tuned-16", 1.0, family="tuned"),
    ]
}


def test_each_sampler_has_its_best_timesteps_by_accuracy_then_psnr() -> None:
    found = guidance.best(RECORD)
    assert {name: [row["name"] for row in line] for name, line in found.items()} == {
        "DDIM, trailing": ["ddim-trailing-16", "ddim-trailing-8"],
        "Euler, Karras": ["euler-karras-16", "euler-karras-8"],
    }


def test_timesteps_measured_at_fewer_calls_are_not_compared_by_their_mean() -> None:
    more = {"rows": [*RECORD["rows"], _row("euler-leading-16", 1.0)]}
    assert set(guidance.best(more)) == {"DDIM, trailing", "Euler, Karras"}


def test_prices_beyond_twice_their_error_are_bold() -> None:
    lines = guidance.table({"7.5": RECORD}).splitlines()
    assert lines[0] == "| guidance | sampler | score | 16 calls | 8 calls |"
    assert "| 7.5 | Euler, Karras | accuracy | +0.000 ±0.020 | **-0.100 ±0.020** |" in lines


def test_a_picture_and_a_table_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guidance.main(["--out", str(tmp_path)])
    assert capsys.readouterr().out == (tmp_path / "guidance.md").read_text()
    assert (tmp_path / "guidance.png").stat().st_size > 10_000


@pytest.mark.parametrize("model", guidance.FILES)
def test_the_page_has_what_the_results_have(model: str) -> None:
    """If not, run the command at the top of `benchmarks/shapes_curve/guidance.py` with `--out docs/shapes-curve`."""
    read, written = guidance.FILES[model]
    files = {one: guidance.RESULTS / f"{read}-g{one}.json" for one in guidance.MEASURED[model]}
    records = {one: json.loads(file.read_text()) for one, file in files.items()}
    assert (ROOT / "docs" / "shapes-curve" / f"{written}.md").read_text() == guidance.table(records)
