"""Words of messages: one line, short, printable, whatever they are made of; warnings at the user's line."""

from __future__ import annotations

import inspect
import types
import warnings

import pytest
import torch

from fdplug import trees
from fdplug.errors import ConfigError, FdplugError, FdplugWarning, suggestion, warn
from fdplug.errors.wording import one_line, printable, shown

PLUGIN = "from fdplug.errors import warn\ndef changed(one):\n    warn('from a plugin')\n    return one\n"


class Unsayable(Exception):
    def __str__(self):
        raise ValueError


def test_an_error_is_one_line_without_control_characters():
    assert one_line("two\n  lines \x1b[31m") == "two lines \\x1b[31m"
    assert one_line(Unsayable()) == "Unsayable"
    assert len(one_line("x" * 1000)) == 300


@pytest.mark.parametrize(
    "value", [10**5000, [[[[[1]]]]] * 1000, {"a": "b" * 10**6}, Unsayable()], ids=lambda one: type(one).__name__
)
def test_any_value_is_shown_in_few_letters(value):
    assert len(shown(value)) <= 60
    assert printable(shown(value)) == shown(value)


@pytest.mark.parametrize("kind", [FdplugError, ConfigError, FdplugWarning])
def test_errors_and_warnings_show_control_characters_as_escapes(kind):
    """Whoever catches one prints it: the names of keys in a file of somebody else are part of it."""
    assert str(kind("no column \x1b[2J\x00\u202e; found é\nand more")) == (
        "no column \\x1b[2J\\x00\\u202e; found é\nand more"
    )


def test_the_nearest_name_is_suggested_or_none():
    assert suggestion("uniforn", ["paper", "uniform"]) == ", did you mean 'uniform'?"
    assert suggestion("xyz", ["paper"], "; there is paper") == "; there is paper"


def test_a_warning_names_the_caller_s_line():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn("look here")
    assert seen[0].filename == __file__
    assert seen[0].category is FdplugWarning


def test_a_warning_of_a_plugin_names_the_line_that_called_fdplug():
    plugin = types.ModuleType("some_plugin")
    exec(compile(PLUGIN, "some_plugin.py", "exec"), plugin.__dict__)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        line = inspect.currentframe().f_lineno + 1
        trees.map_tensors(plugin.changed, [torch.zeros(1)])
    assert [(one.filename, one.lineno) for one in seen] == [(__file__, line)]
