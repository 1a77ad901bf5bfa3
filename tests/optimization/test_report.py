"""The page about a search holds what was measured, and draws it in a real browser."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import re
import shutil
from statistics import median

import numpy as np
import pytest
from PIL import Image

import fdplug
from tests.optimization.conftest import STEPS
from tests.optimization.test_search import PROMPTS, early_wins

HELD_OUT, CALIBRATION = range(8), range(8, 12)


@pytest.fixture
def page(pipe, planted, tmp_path):
    planted(early_wins)
    options = {"calibration": 4, "held_out": 8, "trials": 8, "folder": tmp_path / "work"}
    answer = fdplug.optimize(pipe, PROMPTS, "2x", steps=STEPS, **options)
    return answer, tmp_path / "work"


def data(folder):
    text = (folder / "report.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def measured(folder):
    """What the file of measurements holds: PSNR by candidate and image, and seconds by candidate."""
    values, seconds = {}, {}
    for line in (folder / "measurements.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "candidate" in record:
            for place, image in enumerate(record["ids"]):
                values.setdefault(record["candidate"], {})[image] = record["values"]["psnr"][place]
            seconds.setdefault(record["candidate"], []).append((set(record["ids"]), record["seconds"]))
    return values, seconds


def test_every_candidate_is_a_point_with_its_mean(page):
    answer, folder = page
    values, seconds = measured(folder)
    reference = answer.rows[0].candidate.key
    expected = []
    for key, known in values.items():
        found = [known[image] for image in CALIBRATION if image in known]
        times = [one for ids, one in seconds[key] if ids <= set(CALIBRATION)]
        if found and key != reference:
            whole = len(found) == len(CALIBRATION)
            expected.append((len(found), whole, json.loads(key)["propagation"] is not None, np.mean(found), times))
    points = data(folder)["front"]["points"]
    assert len(points) == len(expected) > 8
    for point, (images, whole, propagated, psnr, times) in zip(points, expected, strict=True):
        assert (point["images"], point["whole"], point["propagated"]) == (images, whole, propagated)
        assert point["values"]["psnr"] == pytest.approx(psnr)
        assert min(times) <= point["seconds"] <= max(times)


def test_the_judged_rows_are_lettered_and_the_budget_is_a_line(page):
    answer, folder = page
    values, seconds = measured(folder)
    front = data(folder)["front"]
    reference = answer.rows[0].candidate.key
    pace = median(one for ids, one in seconds[reference] if ids <= set(HELD_OUT))
    assert front["reference"] == pytest.approx(pace)
    assert front["budget"] == {"text": "2x", "seconds": pytest.approx(pace / 2)}
    assert [one["letter"] for one in front["judged"]] == list("BCDEFGH"[: len(answer.rows) - 1])
    for one, row in zip(front["judged"], answer.rows[1:], strict=True):
        expected = [values[row.candidate.key][image] for image in HELD_OUT]
        assert one["values"]["psnr"] == pytest.approx(np.mean(expected))
        assert one["errors"]["psnr"] == pytest.approx(np.std(expected, ddof=1) / len(expected) ** 0.5)


def test_the_pictures_are_those_that_were_judged(page):
    answer, folder = page
    text = (folder / "report.html").read_text()
    uris = re.findall(r'<img src="data:image/png;base64,([^"]+)"', text)
    assert len(uris) == 4 * len(answer.rows)
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))), dtype=float) for one in uris]
    values, _ = measured(folder)
    width = len(answer.rows)
    for place in range(4):
        reference, *others = images[place * width : (place + 1) * width]
        for row, image in zip(answer.rows[1:], others, strict=True):
            psnr = 10 * np.log10(255**2 / np.mean((image - reference) ** 2))
            assert psnr == pytest.approx(values[row.candidate.key][place], abs=0.01)


def test_it_says_what_the_answer_says(page):
    answer, folder = page
    text = html.unescape((folder / "report.html").read_text())
    assert answer.line in text
    assert answer.preset.model_card in text
    assert all(row.candidate.title in text for row in answer.rows)


def test_a_search_that_goes_on_shows_the_same_pictures(page, pipe):
    _, folder = page
    before = re.findall(r"base64,([^\"]+)\"", (folder / "report.html").read_text())
    options = {"calibration": 4, "held_out": 8, "trials": 8, "folder": folder}
    fdplug.optimize(pipe, PROMPTS, "2x", steps=STEPS, **options)
    assert re.findall(r"base64,([^\"]+)\"", (folder / "report.html").read_text()) == before


def test_a_browser_draws_every_point(page):
    api = pytest.importorskip("playwright.sync_api", reason="pip install 'fdplug[browser]'")
    program = os.environ.get("FDPLUG_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium: install Debian's package chromium, or name one in FDPLUG_CHROMIUM")
    answer, folder = page
    complaints = []
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        opened = started.new_page()
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.goto((folder / "report.html").as_uri())
        opened.wait_for_selector("#front-chart svg")
        assert opened.locator("#front-chart .searched").count() == len(data(folder)["front"]["points"])
        assert opened.locator("#front-chart text.label").all_text_contents() == [
            one["letter"] for one in sorted(data(folder)["front"]["judged"], key=lambda one: -one["values"]["psnr"])
        ]
        assert opened.locator("#front-chart line.limit").count() == 2
        started.close()
    assert not complaints
    assert len(answer.rows) > 2
