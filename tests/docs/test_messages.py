"""The messages that the page on troubleshooting quotes are in the source, and are raised as the errors it says."""

from __future__ import annotations

import ast
import re

import pytest

from fdplug import errors
from tests.docs.test_docs import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
HEADING = re.compile(r"^### (\w+): `(.+)`$", re.MULTILINE)
SPAN = re.compile(r"`([^`]*\.\.\.[^`]*)`")


def written(node):
    """A text of the source, with `...` for every value in it; None where it is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
    return None


def given(tree):
    """Every text of a module but its docstrings, and the class that it is raised as, where that is said."""
    raised = {}
    for node in ast.walk(tree):
        call = node.exc if isinstance(node, ast.Raise) else node
        if isinstance(call, ast.Call) and (isinstance(node, ast.Raise) or _name(call) == "warn"):
            name = "FdplugWarning" if _name(call) == "warn" else _name(call)
            name = _name(call.args[1]) if len(call.args) > 1 and name == "FdplugWarning" else name
            raised |= {id(one): name for one in call.args}
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = written(node)
        if text is not None and " " in text and id(node) not in said:
            yield " ".join(text.split()), raised.get(id(node))


def _name(node):
    node = getattr(node, "func", node)
    return getattr(node, "attr", getattr(node, "id", ""))


FILES = [*(ROOT / "fdplug").rglob("*.py")]
TEXTS = {text: name for file in FILES for text, name in given(ast.parse(file.read_text()))}


def holds(text, quote):
    """Whether a text has the words of a quote, in their order, whatever stands between them."""
    at = 0
    for part in quote.rstrip(".").split("..."):
        at = text.find(part.strip(), at)
        if at < 0:
            return False
        at += len(part.strip())
    return True


def sources(quote):
    """The texts that a quote stands for, each with the class it is raised as."""
    return {text: name for text, name in TEXTS.items() if holds(text, quote)}


IN_TEXT = [quote for quote in SPAN.findall(PAGE.read_text()) if quote != "..."]
QUOTES = [*HEADING.findall(PAGE.read_text()), *(("", quote) for quote in IN_TEXT)]


@pytest.mark.parametrize(("error", "quote"), QUOTES, ids=[quote for _, quote in QUOTES])
def test_a_quoted_message_is_in_the_source(error, quote):
    assert not error or issubclass(getattr(errors, error), errors.FdplugError | errors.FdplugWarning)
    assert len(re.findall(r"\w+", quote)) >= 2
    found = sources(quote)
    assert found
    raised = {name for name in found.values() if name is not None}
    assert not error or not raised or error in raised


def test_a_message_that_nobody_gives_is_noticed():
    assert sources("propagation changed nothing: ...")
    assert not sources("propagation changed everything: ...")


def test_the_page_is_about_most_kinds_of_errors():
    named = {error for error, _ in HEADING.findall(PAGE.read_text())}
    assert len(named) >= 9
    assert len(HEADING.findall(PAGE.read_text())) >= 30
