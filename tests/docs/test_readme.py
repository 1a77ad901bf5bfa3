"""The first table of the README says what the results say: it is read where no site is built."""

from __future__ import annotations

import re

import pytest

from docs.building.results_file import results
from tests.docs.test_docs import ROOT

CELL = re.compile(r"\*\*|\\")


def _table():
    """The rows of the table against fewer steps, each a list of cells without emphasis."""
    section = (ROOT / "README.md").read_text().split("## Against fewer steps")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[CELL.sub("", cell).strip() for cell in line.strip("|").split("|")] for line in lines][1:]


TABLE = _table()


def _row(title, calls):
    """The row of the results that a row of the README is about."""
    file = "frontier-g7.5" if "48 captions" in title else "frontier-g7.5-unseen"
    rows = results(file)["rows"]
    if title.startswith("best fewer steps"):
        fewer = [row for row in rows if row["family"] in ("stock", "leaveout") and row["calls"] == calls]
        return max(fewer, key=lambda row: row["scores"]["psnr"]["value"])
    name = {"DDIM-50": "ddim-50", "trunk, tuned": f"trunk-tuned-{calls}"}.get(title, f"paper-{calls}")
    return next(row for row in rows if row["name"] == name)


def _told(estimate, digits):
    value, error = (f"{estimate[key]:.{digits}f}" for key in ("value", "error"))
    return f"{value} ±{error}".replace("0.", ".") if digits == 3 else f"{value} ±{error}"


@pytest.mark.parametrize("cells", TABLE, ids=lambda cells: f"{cells[0]} {cells[1]}")
def test_every_figure_is_in_the_results(cells):
    title, calls, decibels, accuracy, gflops = cells
    row = _row(title, int(calls.split()[0]))
    assert accuracy == _told(row["scores"]["accuracy"], 3)
    assert decibels in ("-" if title == "DDIM-50" else "", _told(row["scores"]["psnr"], 1))
    assert float(gflops) == pytest.approx(row["gflops"], abs=0.05)


def test_the_best_of_fewer_steps_is_named():
    for title, calls, *_ in TABLE:
        if title.startswith("best fewer steps"):
            name = _row(title, int(calls))["name"]
            solver = {"leaveout": "euler"}.get(name.split("-")[0], name.split("-")[0])
            assert solver in title.lower()
            assert ("left out" in title) == name.startswith("leaveout")
            assert ("Karras" in title) == ("karras" in name or name.startswith("leaveout"))


def test_the_table_is_there():
    assert len(TABLE) >= 8
