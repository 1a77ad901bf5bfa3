"""What sources give for prose is what the tables in Markdown say, or what a hand counts on the raw figures."""

from __future__ import annotations

import json
import re

import pytest

from docs.building.figures import figure, written
from docs.building.results_table import cell
from tests.docs.test_docs import ROOT

RESULTS, CURVES = ROOT / "benchmarks" / "results", ROOT / "docs" / "shapes-curve"


def cells(file, *first):
    """The cells of the first row of a page that begins with these."""
    rows = ([part.strip() for part in line.strip("|").split("|")] for line in file.read_text().splitlines())
    return next(row for row in rows if tuple(row[: len(first)]) == first)


def of_suite(title, *first):
    text = (RESULTS / "suites.md").read_text().split(f"### {title}")[1]
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in text.splitlines()]
    return [row for row in rows if tuple(row[: len(first)]) == first]


def test_curves_are_those_of_their_tables():
    row = cells(CURVES / "flow-guidance-7.5" / "curve.md", "Euler-28")
    assert figure("curve accuracy flow-guidance-7.5 Euler-28 as 0.000 ±0.000") == row[2]
    row = cells(CURVES / "guidance-10" / "curve.md", "DPM-Solver++-16, Karras")
    assert figure("curve psnr guidance-10 DPM-Solver++-16,_Karras as 0.0 ±0.0") == row[6]
    row = cells(CURVES / "guidance-7.5" / "curve.md", "DDIM-10, trailing")
    assert figure("curve lost guidance-7.5 DDIM-10,_trailing as 0 %") == f"{100 - 100 * float(row[9].split()[0]):.0f} %"
    assert figure("curve accuracy . DDIM-50 as .000") == cells(CURVES / "curve.md", "DDIM-50")[2].split()[0][1:]


@pytest.mark.parametrize(
    ("asked", "page", "row"),
    [
        ("frontier-g7.5 dpm-solver++-karras", "guidance.md", ("7.5", "DPM-Solver++, Karras")),
        ("frontier-g7.5 deis-karras", "guidance.md", ("7.5", "DEIS, Karras")),
        ("frontier-g7.5 unipc-karras", "guidance.md", ("7.5", "UniPC, Karras")),
        ("frontier-g7.5 ddim-trailing", "guidance.md", ("7.5", "DDIM, trailing")),
        ("frontier-shapes-flow-g4 flow-euler-own", "flow.md", ("4", "Euler, own")),
    ],
)
def test_accuracy_falls_where_the_table_is_bold(asked, page, row):
    heads, found = cells(CURVES / page, "guidance"), cells(CURVES / page, *row, "accuracy")
    first = next(head for head, text in zip(heads, found, strict=True) if "**" in text)
    assert f"{figure(f'falls {asked} as 0')} calls" == first


def test_of_a_curve_the_reference_does_not_fall():
    for folder, line, form in (
        ("guidance-7.5", "Euler,_Karras", "Euler-{}, Karras"),
        ("flow-guidance-7.5", "Euler", "Euler-{}"),
    ):
        file = CURVES / folder / "curve.md"
        counts = re.findall(rf"^\| {form.format('([0-9]+)')} \|", file.read_text(), re.MULTILINE)
        bold = [int(calls) for calls in counts if "**" in cells(file, form.format(calls))[2]]
        assert figure(f"falls {folder} {line} as 0") == str(max(bold))


def test_ablations_are_those_of_their_tables():
    counted, scored = of_suite("Tables 4 and 9", "ddim-50+paper")[:2]
    assert (
        f"{figure('suite gflops table9 ddim-50+paper as 0.0')} (-{figure('suite saved table9 ddim-50+paper as 0%')})"
        == (counted[6])
    )
    assert figure("suite accuracy table9 ddim-50+paper as 0.000 ±0.000") == scored[3]
    assert figure("suite outline table9 ddim-50+paper as 0.000 ±0.000") == scored[5]
    assert figure("suite psnr table9 ddim-50+paper as 0.0") == scored[6]
    assert figure("suite inception table3 14_steps as 0.00") == of_suite("Table 3", "14 steps")[0][4]
    whole = figure("suite step table9 ddim-50 as 0.0000")
    assert float(whole) == pytest.approx(28.4653696 / 50, abs=1e-4)


def test_costs_are_those_of_their_tables():
    held = json.loads((RESULTS / "overhead.json").read_text())
    time, gflops = (held["sd15_serial"][key] for key in ("time_ratio", "gflops_ratio"))
    assert [figure(f"overhead {what} as 0.0000") for what in ("time", "gflops")] == [f"{time:.4f}", f"{gflops:.4f}"]
    assert float(figure("overhead over as 0.0000")) == pytest.approx(time / gflops, abs=2e-4)
    assert figure("overhead own as 0.0000 ms") == f"{held['own_cost']['own_ms_per_call']:.4f} ms"
    file = RESULTS / "span-memory.md"
    shares = [
        int(cells(file, name, "parallel, max_span_batch: auto")[6]) / int(cells(file, name, "parallel")[6]) - 1
        for name in ("SD v1.5", "SDXL", "SD v1.5 + ControlNet")
    ]
    assert float(figure("moved least as 0.000")) == pytest.approx(min(shares), abs=2e-3)
    assert float(figure("moved most as 0.000")) == pytest.approx(max(shares), abs=2e-3)
    text = (RESULTS / "side-by-side-ddim50-256-cpu.md").read_text()
    auto, whole = (
        float(re.search(rf"^\| {name} \| ([\d.]+)", text, re.MULTILINE)[1])
        for name in ("propagation, parallel, automatic spans", "propagation, parallel")
    )
    assert float(figure("longer ddim50 sd15 parallel-auto as 0.000")) == pytest.approx(auto / whole - 1, abs=1e-3)


def test_searches_are_those_of_their_table():
    row = cells(RESULTS / "optimize.md", "shapes, 4, 5x")
    assert figure("optimized speed taken shapes 4 5x as 0.00x") == row[2]
    assert figure("optimized psnr taken shapes 4 5x as 0.0 ±0.0") == row[3]
    assert figure("optimized speed bar shapes 4 5x as 0.00x") == row[6]
    assert figure("optimized psnr bar shapes 4 5x as 0.0 ±0.0") == row[7]
    other = re.search(
        r"^\| shapes, 7.5, 3x \| .* \| ([\d.]+)x \| [^|]+ \| [^|]+ \| 48, 1 \|",
        (RESULTS / "optimize.md").read_text(),
        re.M,
    )
    assert figure("optimized speed bar shapes 7.5 3x 1 as 0.00") == other[1]


def test_a_card_is_read_by_row_and_column():
    found = cells(ROOT / "fdplug" / "shapes" / "CONTROLNET.md", "without a ControlNet, DDIM-50")[1]
    assert figure("card CONTROLNET without_a_ControlNet,_DDIM-50 outline_F1 as 0.000 ±0.000") == found


@pytest.mark.parametrize(("processes", "rows"), [("1", 100), ("2", 50), ("4", 28), ("8", 18)])
def test_processes_share_the_rows(processes, rows):
    """By hand: spans of 1, 1, 1, 2, 5, 5, 10, 10 and 15 guided steps; parts of SD v1.5 as complexity counts them."""
    part, whole = 261.71572224, 804.07052288
    cost = 9 * part + rows * (whole - part) / 2
    assert figure(f"split rows {processes} as 0") == str(rows)
    assert float(figure(f"split gflops {processes} as 0")) == pytest.approx(cost, rel=1e-4)
    assert float(figure(f"split to-stock {processes} as 0.000")) == pytest.approx(50 * whole / cost, abs=1e-3)
    assert float(figure(f"split to-one {processes} as 0.000")) == pytest.approx(
        (9 * part + 50 * (whole - part)) / cost, abs=1e-3
    )
    received = (int(processes) - 1) * rows * 4 * 64 * 64 * 2 / 1e6
    assert float(figure(f"split received {processes} as 0.000")) == pytest.approx(received, abs=1e-3)


def test_processes_were_measured():
    row = cells(RESULTS / "split_decode_cpu_small.md", "propagation, split over 2 processes")
    assert figure("split measured 2 as 0.00x") == row[4]


@pytest.mark.parametrize(
    ("value", "pattern", "text"),
    [
        (16.27, "0", "16"),
        (0.927, ".00", ".93"),
        (-0.146, ".000", "-.146"),
        (1.0, ".000", "1.000"),
        (0.1635, "0 %", "16 %"),
        (0.842, "0%", "84%"),
        (1.417, "0.00 times", "1.42 times"),
        (2.53, "0.0x", "2.5x"),
        ((0.792, 0.0586), ".000 ±.000", ".792 ±.059"),
        ((29.66, 0.53), "0.0 ±0.0 dB", "29.7 ±0.5 dB"),
        ((29.66, 0.53), "0.0 dB", "29.7 dB"),
    ],
)
def test_a_number_is_written_as_its_pattern_shows(value, pattern, text):
    assert written(value, pattern) == text


@pytest.mark.parametrize(("value", "pattern"), [(1.0, "dB"), (1.0, "0.0 ±0.0"), (1.0, "3 dB"), (1.0, "0.1")])
def test_a_pattern_that_shows_nothing_is_an_error(value, pattern):
    with pytest.raises(LookupError, match="cannot be written as"):
        written(value, pattern)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("overhead own", "needs a form"),
        ("tuning tuned_9 uniform_9 as 0.0 dB", "has a form of its own"),
        ("suite psnr table9 nobody as 0.0", "0 rows"),
        ("card FLOW nobody all_right as .000", "0 cells"),
        ("card FLOW Euler all_right as .000", "7 cells"),
        ("card FLOW drawn PSNR_dB as .000", "no figure"),
    ],
)
def test_what_is_not_there_is_an_error(words, said):
    with pytest.raises(LookupError, match=said):
        figure(words)


def test_a_cell_of_two_tables_is_an_error(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("| a | b |\n|---|---|\n| x, y | 1.5 ±0.2 |\n\n| a | b |\n|---|---|\n| x | **-2** (3) |\n")
    assert cell(page, "x, y", "b") == (1.5, 0.2)
    with pytest.raises(LookupError, match="2 cells of"):
        cell(page, "x", "b")
    page.write_text("| a | b |\n|---|---|\n| x | **-2** (3) |\n")
    assert cell(page, "x", "b") == -2
