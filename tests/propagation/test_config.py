"""The settings of propagation: one dataclass, read by everything that lists settings."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import fdplug
from fdplug import config
from fdplug.commands.options import generate
from fdplug.commands.options.shared import read_settings
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError
from fdplug.predict.generation.config import GenerationConfig


def test_the_signature_of_propagate_names_every_setting():
    names = list(inspect.signature(fdplug.propagate).parameters)
    assert names == ["pipe", "config", "preset", *PropagationConfig.fields()]


def test_settings_are_frozen_and_described():
    given = PropagationConfig(policy={"uniform": {"interval": 4}}, transforms=[])
    with pytest.raises(FrozenInstanceError):
        given.policy = "paper"
    assert given.described() == {
        "policy": {"uniform": {"interval": 4}},
        "cache": "reuse",
        "injector": "prior",
        "part": "encoder",
        "decoding": "auto",
        "max_span_batch": None,
        "guidance": "full",
        "transforms": [],
        "components": None,
    }


def test_a_misspelt_setting_is_refused_with_a_suggestion(pipe):
    with pytest.raises(ConfigError, match="no propagation setting 'polcy', did you mean 'policy'"):
        fdplug.propagate(pipe, polcy="paper")
    with pytest.raises(ConfigError, match="config must be a PropagationConfig, got 'paper'"):
        fdplug.propagate(pipe, "paper")


def test_changes_lie_on_top_of_a_config(pipe):
    base = PropagationConfig(policy={"uniform": {"interval": 2}}, injector="none")
    with fdplug.propagate(pipe, base, decoding="serial") as on:
        method = on.method
    assert (method.policy.name, method.injector.name, method.parallel) == ("uniform", "none", False)


@pytest.mark.parametrize("settings", [PropagationConfig, GenerationConfig])
def test_every_setting_has_a_help_that_the_docstring_shows(settings):
    for name, field in settings.fields().items():
        assert f"    {name}: {field.metadata['help']}." in settings.__doc__


ADDED = """
import json, sys, types
source = open(sys.argv[1]).read()
last = "    @classmethod\\n    def unaccelerated"
assert source.count(last) == 1
source = source.replace(last, '    strength: int = setting(3, "how strong", reads=int)\\n\\n' + last)
module = types.ModuleType("fdplug.config")
sys.modules["fdplug.config"] = module
exec(compile(source, sys.argv[1], "exec"), vars(module))

import inspect, fdplug, jsonargparse
from fdplug.commands import generate
from fdplug.predict import TextToImage, Variant
from fdplug.commands.options.shared import read_settings
from fdplug.testing import tiny_pipeline

on = fdplug.propagate(tiny_pipeline(), strength=5)
schema = jsonargparse.ArgumentParser()
schema.add_class_arguments(TextToImage, "model")
parsed = schema.parse_args(["--model.propagation.strength=6"])
options = generate.parser().parse_args(["a", "--strength", "7"])
print(json.dumps({
    "signature": "strength" in inspect.signature(fdplug.propagate).parameters,
    "propagate": "('strength', 5)" in on.method.described(),
    "yaml": parsed.model.propagation["strength"],
    "generate": read_settings(options, module.PropagationConfig).strength,
    "compare": Variant.from_mapping({"name": "x", "propagation": {"strength": 8}}).propagation.strength,
    "run": TextToImage(propagation=module.PropagationConfig(strength=9)).settings("cpu")["propagation"]["strength"],
}))
"""


def test_one_line_adds_a_setting_everywhere():
    """The line is put into the source of the one module, before anything else is imported."""
    command = [sys.executable, "-W", "ignore", "-c", ADDED, str(Path(config.__file__))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        '{"signature": true, "propagate": true, "yaml": 6, "generate": 7, "compare": 8, "run": 9}'
    )


def test_reading_settings_loads_no_torch():
    code = (
        "import sys, fdplug.predict.generation.config as c; c.GenerationConfig(steps=3); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


def test_a_setting_that_two_classes_have_is_two_options_of_a_command():
    """`guidance` is the scale of a generation, and which rows of it run."""
    given = ["a", "--guidance", "4", "--guidance-rows", "{first: {share: 0.3}}"]
    options = generate.parser().parse_args(given)
    assert read_settings(options, PropagationConfig).guidance == {"first": {"share": 0.3}}
    assert read_settings(options, GenerationConfig).guidance == 4.0
