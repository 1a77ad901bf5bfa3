"""The pages as text: complete, nothing from outside, hostile captions and names escaped."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from fdplug.report.folder import read
from fdplug.report.voting.pairs import choose, page_data
from tests.report.conftest import CAPTIONS, HOSTILE


class Page(HTMLParser):
    """Every tag with its attributes, and the text of every element."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self._open = [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module", params=["report.html", "vote.html"])
def page(request, reported):
    return Page(reported / request.param)


@pytest.fixture(scope="module")
def report(reported):
    return Page(reported / "report.html")


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = attributes.get(name)
            followed = tag == "a" and value == "https://fdplug.github.io/fdplug/latest/report/"  # if somebody wants to
            assert value is None or followed or value.startswith(("#", "data:")), (tag, name, value)
        assert not [name for name in attributes if name.startswith("on")], "no inline handlers"
    assert not page.all("iframe") + page.all("object") + page.all("embed")
    styles = " ".join(text for tag, text in page.texts if tag == "style")
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_policy_allows_these_scripts_and_no_other(page):
    (policy,) = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    kinds = [attributes.get("type") for attributes in page.all("script")]
    codes = [text for tag, text in page.texts if tag == "script"][kinds.count("application/json") :]
    assert len(codes) == kinds.count(None) > 0
    for code in codes:
        assert base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() in policy


def test_a_hostile_caption_stays_text(page):
    assert [
        attributes for attributes in page.all("script") if attributes.get("type") not in (None, "application/json")
    ] == []
    assert all("evil" not in str(attributes) for attributes in page.all("img"))
    data = json.loads(next(text for tag, text in page.texts if tag == "script"))
    captions = data["pictures"]["captions"] if "pareto" in data else [pair["caption"] for pair in data["pairs"]]
    assert HOSTILE in captions
    assert set(captions) == set(CAPTIONS)


def test_a_hostile_model_name_stays_text(report):
    assert ("h1", "m/<b>model</b>: 4 variants, 3 captions") in report.texts
    assert not report.all("b")


def test_every_row_and_its_values_are_in_the_table(report):
    heads = [text for tag, text in report.texts if tag == "button"]
    assert heads[:5] == ["variant", "speed-up", "FID", "PSNR dB", "steps"], "what decides comes first"
    values = [
        attributes["data-value"]
        for name, attributes in report.tags
        if name in ("td", "th") and "data-value" in attributes
    ]
    assert "21.5" in values
    assert "Infinity" in values, "the PSNR of equal pictures sorts above every other"


def test_everything_that_was_asked_for_is_said(report):
    text = " ".join(text for tag, text in report.texts if tag not in ("script", "style"))
    for wanted in (
        "few images",
        "30.0 ±0.46",
        "± is a standard error (PSNR dB)",
        "In no more time than fast, ddim-5",
        "FID: beside fewer steps that take no more time, propagation is ahead in",
        "hours = 10,000 x seconds per image / 3600",
        "An estimate, not a measurement",
        "Table 0",
        "different models",
        "0123456789abcdef",
        "2030-01-02T03:04:05+00:00",
        "torch 2.13",
        "the first 3 of 3 pictures of every variant",
    ):
        assert wanted in text, wanted


def test_every_label_belongs_to_something(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for attributes in page.all("a"):
        assert attributes["href"][1:] in ids or attributes["href"].startswith("https://fdplug.github.io/")
    for attributes in page.all("th"):
        assert attributes["scope"] in ("col", "row")
    assert page.all("html")[0]["lang"] == "en"


def test_the_vote_is_blind(reported):
    text = (reported / "vote.html").read_text()
    for name in ("ddim", "fast", "same_", "unet", "paper"):
        assert not re.search(rf"\b{name}", text, re.IGNORECASE), name
    shown = text[text.index("<body>") : text.rindex("<script>")]
    assert not re.search("propagat|accelerat|baseline|variant|against", shown, re.IGNORECASE)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert all(pair["pictures"] == sorted(pair["pictures"]) for pair in data["pairs"])
    assert list(data["pictures"]) == sorted(data["pictures"])


def test_the_order_of_a_pair_s_pictures_tells_nothing(reported):
    compared, firsts = read(reported), []
    for seed in range(40):
        study = choose(compared, 6, seed)
        own = {pair.pictures[0] for pair in study.pairs}
        firsts += [pair["pictures"][0] in own for pair in page_data(study, compared, 64)["pairs"]]
    assert len(firsts) == 240
    assert 90 < sum(firsts) < 150
