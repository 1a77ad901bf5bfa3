"""The built site in a real Chromium: no page is wider than the screen, the theme switches, the search finds.

Skipped where mkdocs (`make docs` installs it), playwright or a Chromium is missing; `FDPLUG_CHROMIUM` names one.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading

import pytest

from tests.docs.test_docs import ROOT

pytestmark = pytest.mark.slow
pytest.importorskip("mkdocs", reason="mkdocs is not installed: make docs")
sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install 'fdplug[browser]'"
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PAGES = ("", "choose/", "how-it-works/", "plugins/", "plugins/policy/paper/", "tutorials/worth-it/", "api/families/")
PAGES += (
    "support/",
    "suites/",
    "troubleshooting/",
    "frontier/",
    "command-line/",
    "results/",
    "configuration/",
    "tutorials/video/",
    "shapes/",
    "cards/shapes-flow/",
)
CLIPPED = """[...document.querySelectorAll('.highlight:not(.language-text) pre > code')]
    .filter(one => one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1)
    .map(one => one.textContent.slice(0, 60))"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The site, built strictly and served."""
    out = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    handler = functools.partial(Quiet, directory=str(out))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_):
        """Leave it out."""


@pytest.fixture(scope="module")
def browser():
    program = os.environ.get("FDPLUG_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium: install Debian's package chromium, or name one in FDPLUG_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.mark.parametrize("width", [1400, 390])
def test_no_page_is_wider_than_the_screen(browser, address, width):
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
    for name in PAGES:
        page.goto(address + name)
        excess = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if excess > 0:
            problems.append(f"{name} is {excess} pixels wider")
        problems += [f"{name} clips: {code}" for code in page.evaluate(CLIPPED)]
    context.close()
    assert not problems


def test_the_theme_can_be_switched(browser, address):
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    page.goto(address)
    scheme = "document.body.getAttribute('data-md-color-scheme')"
    assert page.evaluate(scheme) == "default"
    page.locator("label[title=Dark]").click()
    assert page.evaluate(scheme) == "slate"
    context.close()


def test_the_search_finds_tutorials_and_guidance_and_suggests(browser, address):
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.goto(address)
    field = page.locator("input.md-search__input")
    field.click()
    for word, found in (
        ("thinning", "Write a guidance"),
        ("TaylorSeer", "Coming from another package"),
        ("begun with other", "Troubleshooting"),
    ):
        field.fill("")
        field.press_sequentially(word)
        page.wait_for_function(
            "text => document.querySelector('.md-search-result__list').innerText.includes(text)", arg=found
        )
    field.fill("")
    field.press_sequentially("propag")
    page.wait_for_function("document.querySelector('.md-search__suggest').innerText.startsWith('propag')")
    context.close()


def test_a_shared_link_has_a_card(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}tutorials/first-pipeline/")
    card = page.locator("meta[property='og:image']").get_attribute("content")
    assert card == "https://fdplug.github.io/fdplug/latest/assets/card.png"
    assert page.request.get(f"{address}assets/card.png").ok
    assert (
        page.locator("link[rel=canonical]").get_attribute("href").startswith("https://fdplug.github.io/fdplug/latest/")
    )
    assert page.request.get(f"{address}notebooks/first-pipeline.ipynb").json()["nbformat"] == 4
    context.close()


def test_every_page_can_be_edited_at_its_source(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}plugins/policy/uniform/")
    edit = page.locator("a.md-content__button[rel=edit]").get_attribute("href")
    assert edit == "https://github.com/fdplug/fdplug/edit/main/fdplug/policies/fixed.py"
    context.close()
