"""The pages in a real headless Chromium: no request, no error, sorting, every picture, phone, dark mode, voting.

Skipped where playwright (`pip install 'fdplug[browser]'`) or a Chromium is missing; `FDPLUG_CHROMIUM` names one.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fdplug.report.page import short
from fdplug.report.running_costs import Rates, cost
from fdplug.report.voting.pairs import read_key
from fdplug.report.voting.votes import read_votes
from tests.report.conftest import reference_front

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install 'fdplug[browser]'"
)

HELPERS = Path(__file__).with_name("browser.js").read_text()
LOADED = "images => images.length > 0 && images.every(one => one.complete && one.naturalWidth > 0)"
LEAST_CONTRAST = 4.5


def _chromium():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return os.environ.get("FDPLUG_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="module")
def browser():
    program = _chromium()
    if program is None:
        pytest.skip("no Chromium: install Debian's package chromium, or name one in FDPLUG_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def opened(browser, reported):
    """Open a page of the report's folder; at the end nothing may have been requested or complained about."""
    contexts, complaints = [], []

    def open_page(name="report.html", context=None, **options):
        if context is None:
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        url = (reported / name).as_uri()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request", lambda request: request.url.startswith(("data:", url, "blob:")) or complaints.append(request.url)
        )
        page.goto(url)
        page.evaluate(HELPERS)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def _first_column(page, table="#table table"):
    return page.locator(f"{table} tbody th").all_inner_texts()


def test_a_head_sorts_its_column_and_says_so(opened):
    page = opened()
    head = page.locator("#table thead th").filter(has_text="PSNR")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert _first_column(page) == ["fast", "ddim-5", "same", "ddim-10"], "30, 33, equal, and none at the end"
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert _first_column(page) == ["same", "ddim-5", "fast", "ddim-10"], "none stays at the end"
    page.locator("#table thead th button").first.click()
    assert _first_column(page) == ["ddim-5", "ddim-10", "fast", "same"], "names by the numbers in them"
    assert page.locator("#table thead th[aria-sort=none]").count() == page.locator("#table thead th").count() - 1


def test_every_picture_of_every_variant_is_shown(opened):
    page = opened()
    options = page.locator("#variant option")
    assert options.all_inner_texts() == [f"{name} (beside ddim-10)" for name in ("fast", "same", "ddim-5")]
    for index in range(3):
        page.select_option("#variant", str(index))
        page.wait_for_function(f"({LOADED})([...document.querySelectorAll('#cards img')])")
        assert page.locator("#cards .card").count() == 3
        assert page.locator("#cards img").count() == 12
    page.select_option("#variant", "1")
    assert page.locator("#cards .card p").first.inner_text().startswith("identical · SSIM 1.000")


def test_the_difference_is_that_of_the_pixels(opened, reported):
    """Blended by the browser, read back from a screenshot: |a - b| x gain in the middle of enlarged pixels."""
    import io

    from PIL import Image

    page = opened()
    page.locator("#gain").fill("2")
    page.wait_for_function(f"({LOADED})([...document.querySelectorAll('#cards img')])")
    node = page.locator(".difference").first
    shot = np.asarray(Image.open(io.BytesIO(node.screenshot())).convert("RGB")).astype(int)
    a, b = (
        np.asarray(Image.open(reported / "images" / name / "000000000003.png")).astype(int)
        for name in ("fast", "ddim-10")
    )
    wanted = np.clip(2 * np.abs(a - b), 0, 255)
    places = ((np.arange(2, 22) + 0.5) / 24 * shot.shape[0]).astype(int)
    error = np.abs(shot[np.ix_(places, places)] - wanted[2:22, 2:22])
    assert np.median(error) <= 2
    assert (error <= 4).mean() > 0.95
    assert page.locator("#gain-value").inner_text() == "2x"


def test_charts_name_every_variant_and_no_label_covers_another(opened):
    page = opened()
    page.wait_for_selector("#pareto-charts text.label")
    charts = page.locator("#pareto-charts svg")
    assert charts.count() == 2
    for index in range(2):
        assert sorted(charts.nth(index).locator("text.label").all_text_contents()) == [
            "ddim-10",
            "ddim-5",
            "fast",
            "same",
        ]
    assert page.evaluate("overlaps()") == []
    page.select_option("#quality", "1")
    assert page.locator("#pareto-note").inner_text() == "Not in the chart, for they have no PSNR dB: ddim-10, same."
    assert page.locator("#drift-chart path.curve").count() == 4
    assert sorted(page.locator("#drift-chart text.label").all_text_contents()) == ["E0", "E1", "E2", "E3"]


def test_the_drawn_front_is_the_reference_s(opened):
    page = opened()
    draw = np.random.default_rng(0)
    for _ in range(20):
        points = draw.integers(0, 8, (12, 2)).tolist()
        found = page.evaluate("points => paretoFront(points.map(([cost, loss]) => ({cost, loss})))", points)
        assert [(one["cost"], one["loss"]) for one in found] == reference_front(points)


def test_timelines_mark_the_key_steps(opened):
    page = opened()
    line = page.locator("#steps svg[aria-label^='fast']")
    assert line.get_attribute("aria-label") == "fast: computed at 0, 1, 5; 10 steps in 3 passes"
    assert line.locator("rect.computed").count() == 3
    assert line.locator("rect.replayed").count() == 7


def test_columns_can_be_left_out_and_what_decides_is_in_sight(opened):
    page = opened(viewport={"width": 390, "height": 844})
    heads = page.locator("#table thead th")
    speed = heads.filter(has_text="speed-up")
    box = speed.bounding_box()
    assert box["x"] + box["width"] <= 390, "beside the names, without scrolling"
    page.locator("#columns summary").click()
    page.locator("#columns label").filter(has_text="FID").locator("input").uncheck()
    assert heads.filter(has_text="FID").is_hidden()
    assert page.locator("#table tbody tr").first.locator("td:visible").count() == heads.count() - 2


def test_pictures_are_enlarged_with_a_border_between_them(opened):
    page = opened()
    page.locator("#cards .enlarge").first.click()
    large = page.locator("#large")
    assert large.is_visible()
    assert "ddim-10" in large.locator("span").first.inner_text()
    large.locator("input").fill("80")
    over = large.locator(".over img").nth(1)
    assert over.evaluate("one => one.style.clipPath") == "inset(0px 0px 0px 80%)"
    assert over.bounding_box()["width"] > 300
    large.locator("button").click()
    assert large.is_hidden()


def test_keys_are_hinted_at_only_where_there_are_some(opened):
    hint = "one => getComputedStyle(one).display"
    assert opened("vote.html").locator("kbd").first.evaluate(hint) != "none"
    phone = opened("vote.html", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert phone.locator("kbd").first.evaluate(hint) == "none"


def test_costs_follow_the_rates_by_the_same_arithmetic(opened):
    page = opened()
    before = page.locator("#cost-table tbody").inner_text()
    page.fill("#power", "120")
    page.fill("#price", "2.5")
    page.fill("#carbon", "50")
    wanted = cost(1.0, Rates(power=120, price=2.5, carbon=50))
    cells = page.locator("#cost-table tr", has_text="fast").locator("td").all_inner_texts()
    assert cells == [short(wanted[key]) for key in ("hours", "price", "energy", "carbon")]
    for name, value in (("power", "300"), ("price", "1"), ("carbon", "400")):
        page.fill(f"#{name}", value)
    assert page.locator("#cost-table tbody").inner_text() == before


@pytest.mark.parametrize("name", ["report.html", "vote.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_readable_at_any_width_in_light_and_dark(opened, name, scheme, width):
    page = opened(name, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.wait_for_function(f"({LOADED})([...document.querySelectorAll('img')])")
    for closed in page.locator("details").all():
        closed.evaluate("one => { one.open = true; }")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 3 * 60) == (scheme == "dark")
    poor = [one for one in page.evaluate("contrasts()") if one["ratio"] < LEAST_CONTRAST]
    assert not poor
    assert len(page.evaluate("contrasts()")) > 8
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = (
        "one => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroll, pre, template, [hidden]')"
    )
    assert (
        page.evaluate(f"[...document.querySelectorAll('body *')].filter({wide}).map(one => one.outerHTML.slice(0, 80))")
        == []
    )
    assert page.evaluate("overlaps()") == []
    sizes = page.evaluate(
        "[...document.querySelectorAll('p, td, li, text')].map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) >= 12


def test_everything_is_reached_by_the_keyboard(opened):
    page = opened()
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert {"quality", "variant", "order", "gain", "power", "price", "carbon", "All settings", "steps"} <= reached


def test_motion_is_reduced_where_that_is_asked_for(opened):
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert opened(reduced_motion="no-preference").evaluate(behaviour) == "smooth"
    assert opened(reduced_motion="reduce").evaluate(behaviour) == "auto"


def test_a_vote_is_cast_resumed_exported_and_counted(opened, reported, tmp_path):
    page = opened("vote.html", accept_downloads=True)
    key = {pair.id: pair for pair in read_key(reported).pairs}
    assert page.locator("#count").inner_text() == "0 of 6 answered"
    page.keyboard.press("a")
    page.locator("[data-choice=right]").click()
    page.keyboard.press("s")
    page.keyboard.press("Backspace")
    assert page.locator("#count").inner_text() == "2 of 6 answered"
    shown = page.locator("#left").get_attribute("src"), page.locator("#caption").inner_text()

    again = opened("vote.html", context=page.context)
    assert again.locator("#count").inner_text() == "2 of 6 answered"
    assert (again.locator("#left").get_attribute("src"), again.locator("#caption").inner_text()) == shown
    for press in ("ArrowLeft", "ArrowRight", "ArrowDown", "b"):
        again.keyboard.press(press)
    assert again.locator("#done").is_visible()
    assert again.locator("#question").is_hidden()
    again.keyboard.press("a")
    with again.expect_download() as download:
        again.locator("#export").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)

    content = json.loads(path.read_text())
    assert [vote["choice"] for vote in content["votes"]] == ["left", "right", "left", "right", "same", "right"]
    assert sorted(vote["pair"] for vote in content["votes"]) == sorted(key)
    votes = read_votes([path], read_key(reported))
    for vote, answer in zip(votes, content["votes"], strict=True):
        chosen = {"left": answer["left"], "right": answer["right"], "same": None}[answer["choice"]]
        assert vote.preferred == (None if chosen is None else chosen == key[answer["pair"]].pictures[0])


def test_voters_see_other_orders_and_sides(opened):
    page = opened("vote.html")
    seen = page.evaluate("[...Array(200).keys()].map(seed => arranged(seed).map(one => [one.id, one.left]))")
    assert seen == page.evaluate("[...Array(200).keys()].map(seed => arranged(seed).map(one => [one.id, one.left]))")
    assert len({tuple(pair for pair, _ in one) for one in seen}) > 100, "of 720 orders"
    tokens = {one["id"]: one["pictures"] for one in page.evaluate("study.pairs")}
    for pair, pictures in tokens.items():
        left = sum(dict(one)[pair] == pictures[0] for one in seen)
        assert 70 <= left <= 130, "of 200, half of them expected"
    first = [one[0][0] for one in seen]
    assert all(15 <= first.count(pair) <= 55 for pair in tokens), "of 200, a sixth of them expected"


def test_a_vote_says_nothing_about_what_is_shown(opened):
    page = opened("vote.html")
    texts = page.evaluate("document.body.innerText") + " ".join(
        page.locator("img").evaluate_all("all => all.map(one => one.alt)")
    )
    for name in ("ddim", "fast", "same picture", "variant"):
        assert name not in texts.replace("the same", "")
    assert page.locator("img").evaluate_all("all => all.map(one => one.alt)") == ["picture A", "picture B"]


def test_a_hostile_caption_runs_nothing(opened):
    page = opened()
    assert page.title() == "m/<b>model</b>: 4 variants, 3 captions"
    page.wait_for_selector("#cards .card")
    assert any("</script>" in text for text in page.locator("#cards h4").all_inner_texts())
    assert page.locator("h4 img, h4 script").count() == 0
