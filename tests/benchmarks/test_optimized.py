"""The table of what `fdplug optimize` answered says what its presets hold."""

from __future__ import annotations

from pathlib import Path

import yaml

from benchmarks.optimized import table

PRESET = Path(__file__).parents[2] / "fdplug" / "presets" / "data" / "shapes-flow-fast.yaml"


def test_a_row_has_what_was_taken_and_the_best_of_fewer_steps(tmp_path):
    held = yaml.safe_load(PRESET.read_text())
    path = tmp_path / "shapes-flow-2x.yaml"
    path.write_text(PRESET.read_text())
    *_, row = table([path])
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    rows = held["figures"]["rows"]
    taken = next(one for one in rows if "as good, faster" in one["roles"])
    bars = [one for one in rows if "fewer steps" in one["roles"]]
    best = max(bars, key=lambda one: one["psnr"])
    assert cells[0] == "shapes-flow, 2x"
    assert cells[1:5] == [
        taken["settings"],
        f"{taken['speedup']:.2f}x",
        f"{taken['psnr']:.1f} ±{taken['psnr_error']:.1f}",
        f"{taken['semantic_accuracy']:.3f}",
    ]
    assert cells[5] == best["settings"]
