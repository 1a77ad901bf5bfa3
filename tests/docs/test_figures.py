"""Figures in prose come from files of results; the drawing in the explanation is what its script draws."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from docs.building.drawing import BATCH, DECODER, ENCODER, drawing, runs
from docs.building.figures import PLACE, figure, with_figures
from docs.building.results_file import results
from tests.docs.test_docs import PAGES, ROOT

PLACES = sorted({(page.name, words) for page in PAGES for words in PLACE.findall(page.read_text())})


@pytest.mark.parametrize(("page", "words"), PLACES, ids=[f"{page}: {words}" for page, words in PLACES])
def test_the_figures_of_every_page_are_in_the_results(page, words):
    assert re.search(r"\w", figure(words))


def test_pages_take_figures_from_results():
    assert len(PLACES) >= 20


def test_figures_are_those_of_the_tables():
    table = (ROOT / "benchmarks" / "results" / "frontier-g7.5.md").read_text()
    best, tuned = re.search(r"^\| 12 \| ([\w+-]+): ([\d.]+) ±.*?\*\*([\d.]+) ±", table, re.MULTILINE).group(1, 3)
    assert (
        with_figures("{{ frontier name stock-12 }} and {{ frontier psnr trunk-tuned-12 }}") == f"{best} and {tuned} dB"
    )
    sides = (ROOT / "benchmarks" / "results" / "side-by-side-ddim50-256-cpu.md").read_text()
    stock, ours = re.findall(
        r"^\| (?:stock|propagation, parallel) \|.*\| ([\d.]+) \| [\d.]+ \| [\w.]+ \|$", sides, re.M
    )[:2]
    assert figure("speed gflops ddim50 sd15 parallel") == f"{float(stock) / float(ours):.2f} times"
    memory = (ROOT / "benchmarks" / "results" / "span-memory.md").read_text()
    assert f"| parallel | 9 | 1.76 | 3.47 | +{84.2}% |" in memory
    assert figure("memory sd15 parallel") == "84%"


def test_figures_of_two_rows_and_of_many_are_those_of_the_tables():
    table = (ROOT / "benchmarks" / "results" / "frontier-g7.5-unseen.md").read_text()
    found = re.findall(r"^\| (\d+) \| .*\*\*.*\| \+([\d.]+) ±([\d.]+) dB,", table, re.M)
    ahead = {int(calls): (float(value), error) for calls, value, error in found}
    assert figure("unseen ahead trunk-tuned-16") == f"+{ahead[16][0]} ±{ahead[16][1]} dB"
    some = [value for calls, (value, _) in ahead.items() if 12 <= calls <= 20]
    assert figure("range ahead trunk-tuned 20-12 frontier-g7.5-unseen") == f"{min(some)} to {max(some)} dB"
    decibels = dict(re.findall(r"^\| ([\w+-]+) \| \d+ \| ([\d.]+) ±", table, re.M))
    apart = float(figure("lead leaveout-8 trunk-tuned-8 frontier-g7.5-unseen").removesuffix(" dB"))
    assert apart == pytest.approx(float(decibels["leaveout-8"]) - float(decibels["trunk-tuned-8"]), abs=0.11)
    assert figure("range lead-leaveout trunk-tuned 8-8 frontier-g7.5-unseen") == f"{-apart:.1f} to {-apart:.1f} dB"
    row = re.search(r"^\| trunk-tuned-10 \| 10 \| ([\d.]+ ±[\d.]+) \| ([\d.]+ ±[\d.]+) \|", table, re.M)
    assert figure("unseen psnr± trunk-tuned-10") == f"{row[1]} dB"
    assert figure("unseen accuracy± trunk-tuned-10") == row[2]
    assert figure("asked frontier-g7.5-unseen") in table


def test_a_difference_is_paired_picture_by_picture():
    rows = {row["name"]: row["per_image"]["psnr"] for row in results("tuning")["rows"]}
    pairs = [a - b for a, b in zip(rows["tuned 9"], rows["uniform 9"], strict=True)]
    assert figure("tuning tuned_9 uniform_9") == f"{sum(pairs) / len(pairs):.1f} dB"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("quality psnr x", "no results quality"),
        ("frontier psnr nothing-3", "0 rows"),
        ("range ahead trunk-tuned 7-6", "no rows trunk-tuned with 7-6 calls"),
        ("speed smell sd15 sd15 stock", "no figure smell"),
    ],
)
def test_a_figure_that_is_not_there_is_an_error(words, said):
    with pytest.raises(LookupError, match=said):
        with_figures(f"so {{{{ {words} }}}}")


def test_the_drawing_is_what_its_script_draws():
    file = ROOT / "docs" / "images" / "propagation.svg"
    assert file.read_text() == drawing(), "python -m docs.building.drawing > docs/images/propagation.svg"
    ElementTree.fromstring(drawing())
    assert "\n\n" not in drawing()


def test_the_drawing_shows_what_takes_how_long():
    stock, replayed, batched = runs()
    assert stock.cost == pytest.approx(8 * (ENCODER + DECODER))
    assert replayed.cost == pytest.approx(2 * ENCODER + 8 * DECODER)
    assert batched.cost == pytest.approx(2 * ENCODER + 8 * DECODER * BATCH)
    assert [box.label for box in batched.boxes] == ["0", "0 to 3", "4", "4 to 7"]
