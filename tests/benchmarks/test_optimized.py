"""The table of what `fdplug optimize` answered says what its presets hold."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from benchmarks.optimized import RESULTS, by_hand, cells, frontiers, merged, row_of, seeds, table

PRESET = Path(__file__).parents[2] / "fdplug" / "presets" / "data" / "shapes-flow-fast.yaml"


def preset():
    held = yaml.safe_load(PRESET.read_text())
    return {**held, "about": "so many key steps, for budget 2x"}


def test_a_row_has_what_was_taken_and_the_best_of_fewer_steps():
    rows = preset()["figures"]["rows"]
    shown = cells(row_of(preset()))
    taken = next(one for one in rows if "as good, faster" in one["roles"])
    best = max((one for one in rows if "fewer steps" in one["roles"]), key=lambda one: one["psnr"])
    assert shown[0] == "shapes-flow, 4, 2x"
    assert shown[1:5] == [
        taken["settings"],
        f"{taken['speedup']:.2f}x",
        f"{taken['psnr']:.1f} ±{taken['psnr_error']:.1f}",
        f"{taken['semantic_accuracy']:.3f}",
    ]
    assert shown[5] == best["settings"]


def test_a_row_that_missed_its_budget_by_the_clock_says_so():
    held = row_of(preset())
    said = {
        speed: cells({**held, "budget": "3x", "taken": {**held["taken"], "speedup": speed}})[2]
        for speed in (3.1, 2.9, 2.8)
    }
    assert said == {3.1: "3.10x", 2.9: "2.90x", 2.8: "2.80x, missed"}
    assert cells({**held, "budget": "lossless"})[2] == f"{held['taken']['speedup']:.2f}x"


def test_a_new_row_takes_the_place_of_the_old_one():
    old = row_of(preset())
    other, new = {**old, "seed": 1}, {**old, "minutes": 1.0}
    assert merged([old, other], [new]) == [new, other]


def test_the_table_on_the_page_is_that_of_the_results():
    rows = json.loads((RESULTS / "optimize.json").read_text())["rows"]
    assert (RESULTS / "optimize.md").read_text() == "\n".join(table(rows)) + "\n"
    assert (RESULTS / "optimize-seeds.md").read_text() == "\n".join(seeds(rows)) + "\n"
    assert (RESULTS / "optimize-by-hand.md").read_text() == "\n".join(by_hand(rows, frontiers())) + "\n"


def test_answers_of_two_seeds_stand_beside_each_other():
    """3 dB less with errors of 0.3 and 0.4 dB: 0.5 dB together."""
    taken = {"settings": "a", "speedup": 2.0, "psnr": 40.0, "psnr_error": 0.3}
    first = {"model": "shapes", "guidance": 4.0, "budget": "2x", "seed": 0, "taken": taken}
    other = {**first, "seed": 1, "taken": {"settings": "b", "speedup": 2.1, "psnr": 37.0, "psnr_error": 0.4}}
    *_, last = seeds([first, other, {**first, "budget": "3x"}])
    assert last == "| shapes, 4, 2x | 0 | a | 40.0 ±0.3 | 1 | b | 37.0 ±0.4 | -3.0 ±0.5 | 1.05x |"


def made(name, calls, psnr, family="stock"):
    return {"name": name, "family": family, "calls": calls, "scores": {"psnr": {"value": psnr, "error": 0.5}}}


def test_rows_by_hand_are_those_with_as_many_calls_or_next_to_them():
    known = [made("a-10", 10, 30), made("b-10", 10, 31), made("a-8", 8, 29), made("a-12", 12, 33)]
    known += [made("trunk-9", 9, 40, "trunk"), made("all", 50, 54, "reference")]
    one = {"calls": 9.2, "psnr": 39.0, "psnr_error": 1.0}
    row = {"model": "shapes", "guidance": 4.0, "budget": "5x", "taken": one, "bar": {**one, "calls": 9}}
    *_, line = by_hand([row, {**row, "budget": "lossless"}], {4.0: known})
    assert line == "| shapes, 4, 5x | 9: 39.0 ±1.0 | trunk-9 40.0 ±0.5 | 9: 39.0 ±1.0 | a-8 29.0 ±0.5; b-10 31.0 ±0.5 |"
