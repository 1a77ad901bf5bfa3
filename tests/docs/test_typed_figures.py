"""No measured figure is typed into prose, where it would stay as it is when the results beside it change."""

from __future__ import annotations

import re

import pytest

from docs.building.figures import PLACE
from tests.docs.test_docs import ROOT

ALLOWED = {
    "index": {"setting": ("50 times",), "version": ("3.11",)},
    "architecture": {"version": ("1.0",)},
    "data-and-metrics": {"size": ("92 MB",), "setting": ("100 x",)},
    "glossary": {"version": ("1.0",)},
    "models": {"version": ("2.2",)},
    "report": {"setting": ("16 times", "95 %", "4.5")},
    "settings": {"setting": ("0.003", "0.5"), "published": ("2404.07724", "2410.19355", "2312.12487")},
    "support": {"version": ("2.1", "2.2")},
    "troubleshooting": {"version": ("2.2",)},
    "versions": {"version": ("1.0",)},
    "frontier": {"setting": ("7.5", "2x", ".021")},
    "shapes": {"setting": ("7.5",), "size": ("6.9", "1.7", "4.0")},
    "suites": {"published": ("2.5 times", "15 %", "37 %", "26 %")},
    "measuring": {"version": ("2.13",)},
    "speed": {"setting": ("1.25 times",), "published": ("2.62 GB", "3.95 GB", "51 %")},
    "several-gpus": {"size": ("27 MB",), "published": ("0.56", "2.42", "4.3x")},
    "tune": {"setting": ("35 dB",)},
    "optimize": {"setting": ("32 dB", "40 dB", "7.5", "3x", "5x"), "version": ("1.5", "3.5")},
    "analyze": {"published": ("6.04",)},
    "choose": {"version": ("1.5",)},
    "tutorials/coco": {"size": ("1 GB",)},
    "tutorials/install": {"version": ("3.11",)},
    "tutorials/video": {"version": ("2.1", "2.2")},
    "tutorials/worth-it": {"setting": ("7.5",)},
    "tutorials/write-a-family": {"setting": ("0.83",)},
}
"""What may be typed, by page and by what it is: nothing of it was measured here."""
NO_PAGES = ("cards", "images", "shapes-curve")  # parts of pages, which programs write
PAGES = sorted(
    str(path.with_suffix(""))
    for path in (one.relative_to(ROOT / "docs") for one in (ROOT / "docs").rglob("*.md"))
    if path.parts[0] not in NO_PAGES and path.stem != "changelog"
)
UNIT = r"(?:dB|%|times\b|x\b(?! \d)|ms\b|MB\b|GB\b|GFLOPs\b)"
FIGURE = re.compile(rf"(?<![\w.])(?:\d*\.\d+(?![.\d])(?: ?{UNIT})?|\d+ ?{UNIT})|± ?\d[\d.]*")
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
NO_PROSE = re.compile(r"^ *--8<--.*$|^#.*$|`[^`\n]*`|\]\([^)\s]*\)", re.MULTILINE)


def typed(text):
    """Figures that stand in prose and in tables, but for columns of published ones, as they are typed."""
    bare = PLACE.sub("", NO_PROSE.sub("", FENCE.sub("", text)))
    return [figure for line in without_published(bare.splitlines()) for figure in FIGURE.findall(line)]


def without_published(lines):
    """Leave the cells out of tables whose columns are called published."""
    heads = []
    for line in lines:
        cells = line.strip().strip("|").split("|") if line.lstrip().startswith("|") else []
        heads = (heads or cells) if cells else []
        kept = (cell for head, cell in zip(heads, cells, strict=True) if "published" not in head)
        yield "|".join(kept) if cells else line


@pytest.mark.parametrize("page", PAGES)
def test_what_was_measured_is_taken_from_results(page):
    kinds = ALLOWED.get(page, {})
    assert set(kinds) <= {"published", "setting", "size", "version"}
    allowed = {figure for figures in kinds.values() for figure in figures}
    found = set(typed((ROOT / "docs" / f"{page}.md").read_text()))
    assert found - allowed == set(), "take these from a file of results, by {{ a source }} of docs/building/figures.py"
    assert allowed - found == set(), "these are no longer on the page"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nearer by 4.4 dB, or .792 ±.059 of them", ["4.4 dB", ".792", ".059"]),
        ("3x as fast, 16 % less, 1.42 times, 12 ±2", ["3x", "16 %", "1.42 times", "±2"]),
        ("| a | published |\n|---|---|\n| 1.5 | 2.5 |\n", ["1.5"]),
        ("64 x 64 pixels, 50 steps, SD v1.5, torch 2.13.0, 48 captions", []),
        ("## 4.4 dB\n`--psnr 35 dB` [there](a-1.5.md) {{ tuning a b }}\n```text\n4.4 dB\n```\n", []),
        ("```text\n1.5\n```\nand 2.5\n```text\n3.5\n```", ["2.5"]),
    ],
)
def test_figures_are_found_where_they_are_typed(text, found):
    assert typed(text) == found
