"""Every option of every command line on the pages is one that the command has."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import sys
from functools import cache

import pytest

from fdplug.cli import COMMANDS
from fdplug.commands import predict
from tests.docs.test_docs import PAGES, fences

OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][\w.-]*")
NAMED = re.compile(r"\bfdplug [a-z]|-m benchmarks\.")
SEPARATORS = {"|", "&&", ";", ">", ">>", "2>"}


def commands(page):
    """Yield the words of each command of a page: fdplug's own by their name, benchmarks by their module."""
    for _, code in fences(page, "bash"):
        for line in filter(NAMED.search, code.replace("\\\n", " ").splitlines()):
            words = shlex.split(line, comments=True)
            while words:
                end = next((place for place, word in enumerate(words) if word in SEPARATORS), len(words))
                yield from _named(words[:end])
                words = words[end + 1 :]


def _named(words):
    for place, word in enumerate(words):
        named = words[place + 1] if len(words) > place + 1 else ""
        if word == "fdplug" and named in COMMANDS:
            yield named, words[place + 2 :]
            return
        if word == "-m" and named.startswith("benchmarks."):
            yield named, words[place + 2 :]
            return


@cache
def options(name):
    """Return the options that a command knows."""
    if name.startswith("benchmarks."):
        return _printed(importlib.import_module(name), ["--help"])
    if name == "predict":
        data = {f"--data.{option}" for option in predict._data_options()}
        model = {f"--{option}" for option in predict._model_options() if "." in option}
        return _said(lambda: COMMANDS[name].run(["--help-all"])) | data | model
    return _said(lambda: COMMANDS[name].run(["--help"]))


def _printed(module, words):
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{module.__name__}.__main__")
    before, sys.argv = sys.argv, [module.__name__, *words]
    try:
        return _said(module.main)
    finally:
        sys.argv = before


def _said(run):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        run()
    return set(OPTION.findall(text.getvalue()))


def unknown(name, words):
    """Return the options among the words that a command does not know."""
    given = [word.partition("=")[0] for word in words if OPTION.fullmatch(word.partition("=")[0])]
    return [option for option in given if option not in options(name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_of_a_command_exists(page):
    wrong = {name: found for name, words in commands(page) if (found := unknown(name, words))}
    assert not wrong, f"{page.name} names options that are not there: {wrong}"


def test_options_that_are_not_there_are_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```bash\nA=1 fdplug compare --limit 2 \\\n  --limits 3 | head -3 && fdplug predict --model.stepps=4\n"
        "python -m benchmarks.frontier --out x --contender y   # --no-option\n```\n"
    )
    found = [(name, unknown(name, words)) for name, words in commands(page)]
    assert found == [
        ("compare", ["--limits"]),
        ("predict", ["--model.stepps"]),
        ("benchmarks.frontier", ["--contender"]),
    ]
