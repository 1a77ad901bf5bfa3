"""Help: at once, without torch, at most two screens, as wide as the terminal; and one word for one thing."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from fdplug import cli
from fdplug.cli import COMMANDS
from fdplug.commands.options.predict_checks import LOADING
from fdplug.commands.renamed import RENAMED
from fdplug.config import PropagationConfig
from fdplug.scores import fdplug_scores

HEAVY = ("torch", "diffusers", "lightning", "pytorch_lightning", "torchmetrics", "transformers", "matplotlib")
HEAVY_TOO = ("jsonargparse", "fvcore", "rich", "PIL", "jinja2")
PLUGINS = tuple(one.module for one in entry_points(group="fdplug"))
"""Plugins of others: nobody knows what they import."""
CODE = """
import contextlib, io, json, sys
from fdplug.cli import main

said = {}
for name, words in json.loads(sys.argv[1]).items():
    sys.argv[1:] = words
    out, code = io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = main()
        except SystemExit as stopped:
            code = stopped.code
    said[name] = [code, out.getvalue(), sorted(set(json.loads(sys.argv[0])) & set(sys.modules))]
print(json.dumps(said))
"""
MISTAKES = {
    "analyze": ["--limit", "x"],
    "complexity": ["--rows", "x"],
    "generate": ["a", "--steps", "x"],
    "inspect": ["shapes", "--sample-size", "x"],
    "new-plugin": ["a", "--kind", "x"],
    "plugins": ["--kind", "x"],
    "predict": ["--model.steps=x"],
    "report": ["--limit", "x"],
    "tune": ["--key-steps", "x"],
}
"""By command; of any other, an option that it has not got."""


def said(given, columns=80):
    """Run commands one after the other in one fresh Python; return what each did, and what was loaded by then."""
    code = CODE.replace("sys.argv[0]", repr(json.dumps([*HEAVY, *HEAVY_TOO, *PLUGINS])))
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": str(columns)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=[80, 100, 200])
def helps(request):
    return request.param, said({name: [name, "--help"] for name in COMMANDS}, request.param)


def test_help_is_two_screens_as_wide_as_the_terminal_and_waits_for_nothing(helps):
    columns, found = helps
    for name, (code, text, loaded) in found.items():
        lines = text.splitlines()
        assert code == 0, name
        assert len(lines) <= 60, f"{name}: {len(lines)} lines"
        assert max(map(len, lines)) < min(columns, 101), name
        assert not loaded, f"{name} --help loads {loaded}"
        assert lines[0].startswith(f"usage: fdplug {name}")


def test_help_fills_a_wider_terminal():
    narrow, wide = (said({"tune": ["tune", "--help"]}, columns)["tune"][1] for columns in (60, 100))
    assert max(map(len, narrow.splitlines())) < 60 < max(map(len, wide.splitlines())) <= 100
    assert narrow.split()[3:] == wide.split()[3:]


def test_a_mistake_is_answered_at_once_as_well():
    words = {name: [name, *MISTAKES.get(name, ["--no-such-option"])] for name in COMMANDS}
    for name, (code, text, loaded) in said(words).items():
        assert (code, loaded) == (2, []), name
        assert text.startswith(f"fdplug {name}: ")
        assert text.count("\n") == 1


def parser(name):
    home, _, module = COMMANDS[name].module.rpartition(".")
    return importlib.import_module(f"{home}.options.{module}").parser()


def options(name):
    return {word for action in parser(name)._actions for word in action.option_strings}


@pytest.mark.parametrize("command", sorted(RENAMED))
def test_an_old_word_is_answered_with_the_new_one(command, monkeypatch, capsys):
    for old, new in RENAMED[command].items():
        assert old not in options(command)
        assert set(new.split(" or ")) <= options(command)
        monkeypatch.setattr(sys, "argv", ["fdplug", command, f"{old}=1"])
        assert cli.main() == 2
        assert capsys.readouterr().err == f"fdplug {command}: {old} is called {new} now; write that\n"


def test_an_option_means_the_same_in_every_command():
    """Words that several commands share have one kind of value, and one meaning: the texts differ in details only."""
    found = {}
    for name in set(COMMANDS) - {"predict"}:
        for action in parser(name)._actions:
            for word in action.option_strings:
                found.setdefault(word, {})[name] = (action.type or str, action.metavar, action.nargs)
    different = {word: set(uses.values()) for word, uses in found.items() if len(set(uses.values())) > 1}
    assert set(different) == {"--out"}
    assert {metavar for _, metavar, _ in different["--out"]} == {"FILE", "FOLDER"}


def test_the_settings_of_a_model_are_those_of_the_module():
    from fdplug.predict import TextToImage
    from fdplug.predict.generation.config import GenerationConfig

    named = set(inspect.signature(TextToImage.__init__).parameters) - {"self", "generation"}
    assert set(LOADING) == named
    listed = {word.removeprefix("--model.") for word in options("predict") if word.startswith("--model.")}
    nested = {f"propagation.{name}" for name in PropagationConfig.fields()}
    assert listed == named | set(GenerationConfig.fields()) | nested


def test_data_and_callbacks_that_the_help_names_are_there():
    import fdplug.predict
    from fdplug.commands.options.predict import CALLBACKS, DATA
    from fdplug.commands.predict import DATA as READ

    assert tuple(one.__name__ for one in READ) == DATA
    assert {"LogFid", "LogClipScore"} < set(CALLBACKS)
    assert all(hasattr(fdplug.predict, name) for name in CALLBACKS)
    known = {name for one in READ for base in one.__mro__ for name in inspect.signature(base.__init__).parameters}
    assert {word.removeprefix("--data.") for word in options("predict") if word.startswith("--data.")} <= known


@pytest.mark.parametrize("command", ["compare", "evaluate"])
def test_scores_that_the_help_names_are_the_built_in_ones(command):
    listed = parser(command).format_help()
    for score in fdplug_scores():
        assert re.search(rf"\b{score.name}\b", listed), score.name
