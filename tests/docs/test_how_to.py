"""Commands of the pages outside the tutorials run as they stand, but for few captions and one timed round."""

from __future__ import annotations

import re

import pytest

from tests.docs.shell import blocks, run
from tests.docs.test_docs import ROOT

FEW = {
    "analyze": "--limit 1",
    "compare": "--limit 2 --timed-rounds 1",
    "predict": "--data.limit 2 --trainer.callbacks null",
    "tune": "--limit 1 --responses 1",
}
PLACES = {
    "analyze": [0, 1],
    "command-line": [0],
    "fewer-steps": [0],
    "frontier": [0],
    "long-runs": [0],
    "models": [1],
    "report": [0],
    "tune": [0],
}
"""Blocks, by page, that need neither a model of the hub, nor data of the reader, nor several processes."""


def small(code):
    """Return commands with few captions: of an option that is given twice, the last one counts."""
    whole = re.sub(r"\s+#.*$", "", code.replace("\\\n", " "), flags=re.MULTILINE)
    return "\n".join(f"{line} {FEW.get(line.split()[1], '')}" for line in whole.splitlines() if line.strip())


def chosen():
    for stem, places in PLACES.items():
        found = blocks((ROOT / "docs" / f"{stem}.md").read_text())
        yield from (pytest.param(found[place].code, id=f"{stem}-{place}") for place in places)


@pytest.mark.slow
@pytest.mark.parametrize("code", list(chosen()))
def test_the_commands_run(code, tmp_path):
    assert run(small(code), tmp_path), "they print something"


def test_counts_are_small_and_the_commands_the_same():
    code = "fdplug compare --limit 64 \\\n  --out x   # an hour\nfdplug report x\n"
    first, second = small(code).splitlines()
    assert " ".join(first.split()) == "fdplug compare --limit 64 --out x --limit 2 --timed-rounds 1"
    assert second.strip() == "fdplug report x"
