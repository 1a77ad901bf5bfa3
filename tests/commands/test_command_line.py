"""What all commands have in common: errors of one line, suggestions, no abbreviations."""

from __future__ import annotations

import sys

import pytest

from fdplug import cli
from fdplug.errors import suggestion
from fdplug.errors.wording import one_line


@pytest.fixture
def fdplug(monkeypatch, capsys):
    """Run the command in this process; return its exit code and what it printed to stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fdplug", *arguments])
        return cli.main(), capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["comapre"], "fdplug: no command 'comapre', did you mean 'compare'? commands are predict, compare,"),
        (["plugins", "--kidn", "policy"], "unrecognized arguments: --kidn policy, did you mean '--kind'?"),
        (["plugins", "--js"], "fdplug plugins: unrecognized arguments: --js"),
        (["plugins", "--kind", "polcy"], "argument --kind: invalid choice: 'polcy'"),
        (["new-plugin", "first-half"], "the following arguments are required: --kind"),
        (["families", "--markdwon"], "did you mean '--markdown'?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(fdplug, arguments, message):
    code, said = fdplug(*arguments)
    assert code == 2
    assert message in said
    assert said.count("\n") == 1


def test_no_control_characters_reach_the_terminal(fdplug):
    code, said = fdplug("\x1b[31mplugins\x07")
    assert code == 2
    assert said.rstrip("\n").isprintable()


def test_what_an_error_says_fits_its_line():
    assert one_line(ValueError("two\n  lines\tand \x1b[0m")) == "two lines and \\x1b[0m"
    assert one_line("abcdefgh", 6) == "abc..."


def test_the_nearest_name_is_suggested_and_nothing_far_away():
    assert suggestion("unifrom", ["paper", "uniform"]) == ", did you mean 'uniform'?"
    assert suggestion("xyz", ["paper", "uniform"], ".") == "."
