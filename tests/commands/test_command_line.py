"""What all commands have in common: errors of one line, suggestions, no abbreviations."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from fdplug import cli
from fdplug.errors import suggestion
from fdplug.errors.wording import one_line
from fdplug.registry import KINDS


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
        (["--versoin"], "fdplug: no command '--versoin', did you mean '--version'?"),
        (["plugins", "--kidn", "policy"], "no option '--kidn', did you mean '--kind'?"),
        (["plugins", "--js"], "fdplug plugins: no option '--js'"),
        (
            ["plugins", "--kind", "polcy"],
            f"--kind must be one of {', '.join(sorted(KINDS))}; got 'polcy', did you mean 'policy'? see",
        ),
        (["new-plugin", "first-half"], "--kind must be given"),
        (["families", "--markdwon"], "did you mean '--markdown'?"),
        (["families", "--json", "--markdown"], "--markdown and --json exclude each other; leave one out"),
        (["families", "--json=yes"], "--json takes no value"),
        (["families", "all"], "no place for the word 'all'"),
        (["compare", "--limit", "many"], "--limit must be a whole number, got 'many'; see fdplug compare --help"),
        (["compare", "--guidance", "x"], "--guidance must be a number, got 'x'"),
        (["compare", "--limit"], "--limit needs a value"),
        (["compare", "--variants"], "--variants needs at least one value"),
        (["compare", "--dtype", "float31"], "must be one of auto, float32, float16, bfloat16; got 'float31', did you"),
        (["generate"], "PROMPT must be given"),
        (["generate", "a", "--max-span-batch", "x"], "--max-span-batch must be a whole number or auto, got 'x'"),
        (["predict"], "give a configuration, as in `fdplug predict --config shapes-ddim50-faster`; ready are flux-"),
        (["predict", "--config", "shapes-ddim5"], "did you mean 'shapes-ddim50.yaml'?"),
        (["predict", "--steps", "5"], "no option --steps, did you mean '--model.steps'?"),
        (["predict", "--model.stepz=5"], "no option --model.stepz, did you mean 'model.steps'?"),
        (["predict", "--model.propagation.polcy", "all"], "did you mean 'model.propagation.policy'?"),
        (["predict", "--model.steps=three"], "steps must be a whole number of at least 1, got 'three'"),
        (["predict", "--model.guidance", "-1"], "guidance must be a number of at least 0, got -1"),
        (["predict", "--model.propagation.decoding=both"], "decoding must be one of auto, parallel, serial"),
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


@pytest.mark.parametrize(("name", "then"), [("predict", "goes on where it was"), ("tune", "begins anew")])
def test_an_interrupt_exits_130_and_says_what_the_same_command_does(fdplug, monkeypatch, name, then):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.Command, "run", interrupted)
    assert fdplug(name) == (130, f"fdplug {name}: interrupted; the same command {then}\n")


@pytest.mark.parametrize("command", ["families", "--help", "--version", "nothing"])
@pytest.mark.parametrize(
    ("shell", "code", "message"),
    [
        ("{} >&-", None, ""),
        ("{} 2>&-", None, ""),
        ("{} >/dev/full", 2, "No space left on device; make room there or name another place"),
        ("{} | head -c 1 >/dev/null", None, ""),
        ("PYTHONIOENCODING=ascii COLUMNS=20 {}", None, ""),
        ("env -u HOME COLUMNS=abc TERM=none {}", None, ""),
    ],
)
def test_output_that_goes_nowhere_or_cannot_show_a_letter_is_no_traceback(command, shell, code, message):
    """Closed, full, cut off by the next command, or with an encoding of 128 letters."""
    if not Path("/dev/full").exists():
        pytest.skip("needs a POSIX system with /dev/full")
    line = shell.format(f"{sys.executable} -m fdplug {command}")
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=100, check=False)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if command != "nothing":
        assert done.returncode == (code or 0)
        assert message in done.stderr
    else:
        assert "no command 'nothing'" in done.stderr or "2>&-" in shell


def test_a_warning_of_fdplug_is_one_line_and_others_stay_as_they_are(capsys):
    import warnings

    from fdplug.cli import _plain_warnings
    from fdplug.errors import NoEffectWarning

    usual = warnings.formatwarning
    with _plain_warnings("fdplug predict"):
        assert warnings.formatwarning("nothing was replayed", NoEffectWarning, "x.py", 3) == (
            "fdplug predict: nothing was replayed\n"
        )
        assert "x.py:3" in warnings.formatwarning("old", DeprecationWarning, "x.py", 3)
    assert warnings.formatwarning is usual


def test_what_libraries_say_of_hardware_that_is_not_here_is_not_shown(fdplug, monkeypatch):
    talkative = [logging.getLogger(name) for name in cli.TALKATIVE]
    for logger in talkative:
        monkeypatch.setattr(logger, "level", logger.level)
    assert fdplug("--version") == (0, "")
    assert not any(logger.isEnabledFor(logging.WARNING) for logger in talkative)
