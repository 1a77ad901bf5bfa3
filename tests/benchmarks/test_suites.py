"""`python -m benchmarks.suites`: measured once, the page can be written again from what was kept."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks import suites
from fdplug.suites import suite


def _shortened(load):
    """Let every variant run 6 steps instead of 50: what is shown beside the published figures is not the point here."""

    def shortened(name):
        found = load(name)
        rows = (replace(one, variant=one.variant and {**one.variant, "steps": 6}) for one in found.rows)
        return replace(found, rows=tuple(rows))

    return shortened


@pytest.mark.slow
def test_a_suite_is_measured_kept_and_shown_beside_the_published_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suites, "RESULTS", tmp_path)
    monkeypatch.setattr(suite, "load", _shortened(suite.load))
    given = ["suites", "--suites", "table6", "--captions", "2", "--pictures", str(tmp_path / "pictures")]
    monkeypatch.setattr("sys.argv", given)
    suites.main()
    capsys.readouterr()
    kept = json.loads((tmp_path / "suites.json").read_text())
    text = (tmp_path / "suites.md").read_text()
    rows = {row["name"]: row for row in kept["table6"]["variants"]}
    assert set(rows) == {"ddim-50", "without prior noise", "with prior noise"}
    for published in ("21.75", "21.71", "21.08", "0.783"):  # FID and CLIP score of the paper's Table 6
        assert published in text
    for row in rows.values():
        assert f"{row['shapes_fd']:.1f}" in text
    assert "2 captions, seed 0" in text
    assert (tmp_path / "pictures" / "table6" / "report.html").exists()

    monkeypatch.setattr("sys.argv", ["suites", "--page"])
    suites.main()
    assert capsys.readouterr().out.strip() == text.strip()


def test_an_unknown_suite_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["suites", "--suites", "table7"])
    with pytest.raises(SystemExit):
        suites.main()
    assert "invalid choice: 'table7'" in capsys.readouterr().err
