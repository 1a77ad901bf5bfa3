"""Options of every installed plugin and of every command, from their own tables: a new one is tested by being there."""

import importlib
import inspect
import time

import pytest

from fdplug import registry
from fdplug.cli import COMMANDS
from fdplug.commands.options import predict
from fdplug.config import PropagationConfig
from fdplug.predict.generation.config import GenerationConfig
from fdplug.registry import KINDS
from tests.bad_inputs.refusing import refusal


def _bomb():
    value = [0] * 9
    for _ in range(9):
        value = [value] * 9
    return value


def _deep():
    value = []
    for _ in range(5000):
        value = [value]
    return value


BAD = {
    "infinity": float("inf"),
    "less than all": float("-inf"),
    "not a number": float("nan"),
    "5,000 digits": 10**5000,
    "negative 5,000 digits": -(10**5000),
    "bomb": {"a": _bomb()},
    "deep": _deep(),
    "escape": {"\x1b[2J": 1},
    "bytes": b"\xff",
}


def numeric_options():
    """Return (kind, name, option) of every option whose default is a number."""
    return [
        (kind, name, option)
        for kind in KINDS
        if kind != "family"
        for name, entry in sorted(registry.entries(kind).items())
        for option, parameter in registry.options(entry.cls).items()
        if type(parameter.default) in (int, float) and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("option", numeric_options(), ids="-".join)
def test_an_option_of_a_plugin_that_cannot_be_is_refused(option, bad):
    kind, name, key = option
    options = registry.options(registry.find(kind, name)).items()
    needed = {one: 5 for one, parameter in options if parameter.default is parameter.empty}
    given = {name: {**needed, key: BAD[bad]}}
    start = time.perf_counter()
    assert f"'{name}'" in refusal(lambda: registry.build(kind, given))
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("bad", BAD)
def test_what_names_no_plugin_is_refused(kind, bad):
    refusal(lambda: registry.build(kind, BAD[bad]))
    refusal(lambda: registry.build(kind, {"name": "nobody", "option": BAD[bad]}))
    refusal(lambda: registry.build(kind, "nobody\x1b[2J" + "x" * 5000))


WORDS = {int: ("-1", "x", "1e3", "9" * 5000, "1.5", ""), float: ("nan", "inf", "-inf", "x", "9" * 5000, "")}


def command_options():
    """Return (command, option, word) of every number that a command takes, with every word that is none it can take."""
    found = []
    for name, command in COMMANDS.items():
        module = importlib.import_module(command.module)
        if name != "predict" and hasattr(module, "parser"):
            found += [
                (name, action.option_strings[-1], word)
                for action in module.parser()._actions
                for word in WORDS.get(action.type, ())
                if action.option_strings
            ]
    return found


REST = {"generate": ["a cat"], "report": ["."], "evaluate": ["."], "inspect": ["UNet2DConditionModel"]}


@pytest.mark.parametrize(("command", "option", "word"), command_options(), ids=lambda word: str(word)[:20])
def test_a_number_of_a_command_that_cannot_be_is_refused(command, option, word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def loaded(*args, **kwargs):
        pytest.fail(f"{option} {word[:20]} was accepted: a model is loaded")

    for module in ("fdplug.predict.generation.loading", "fdplug.commands.pipelines", "fdplug.commands.compare"):
        if hasattr(importlib.import_module(module), "load_pipeline"):
            monkeypatch.setattr(f"{module}.load_pipeline", loaded)
    main = importlib.import_module(COMMANDS[command].module).main
    line = refusal(lambda: main([*REST.get(command, []), f"{option}={word}"]))
    assert option.lstrip("-").split("-")[0] in line.replace("_", "-")


def predict_options():
    """Return (option, word) of every number that `predict` takes for its model, with every word that is none."""
    nested = {"model.": GenerationConfig, "model.propagation.": PropagationConfig}
    return [
        (f"--{prefix}{name}", word)
        for prefix, cls in nested.items()
        for name, field in cls.fields().items()
        for word in WORDS.get(field.metadata["reads"], ())
        if word
    ]


@pytest.mark.parametrize(("option", "word"), predict_options(), ids=lambda word: str(word)[:24])
def test_a_number_of_predict_that_cannot_be_is_refused_before_lightning_is_imported(option, word):
    line = refusal(lambda: predict.parser().parse_args([f"{option}={word}"]))
    assert option.rpartition(".")[2] in line


FULL = {**REST, "new-plugin": ["mine", "--kind", "policy"]}
LIGHT = sorted(set(COMMANDS) - {"predict"})


def parser(command):
    home, _, name = COMMANDS[command].module.rpartition(".")
    return importlib.import_module(f"{home}.options.{name}").parser()


def words_of_options():
    """Return (command, words) for every option: cut short, misspelt, without its value, with one too many, unknown."""
    found = []
    for command in LIGHT:
        for action in parser(command)._actions:
            for option in (word for word in action.option_strings if word.startswith("--") and word != "--help"):
                found += [(command, [option[:-1]]), (command, [f"{option}s"])]
                found.append((command, [option] if action.nargs != 0 else [f"{option}=yes"]))
                if action.choices:
                    found.append((command, [option, f"{next(iter(action.choices))}x"]))
    return found


@pytest.mark.parametrize(("command", "words"), words_of_options(), ids=lambda value: "".join(value))
def test_every_option_is_given_in_full_and_as_it_is_meant(command, words):
    line = refusal(lambda: parser(command).parse_args([*FULL.get(command, []), *words]))
    assert words[0].partition("=")[0] in line
    assert f"see fdplug {command} --help" in line


SETTINGS = [word for one in predict.parser()._actions for word in one.option_strings if word.startswith("--model.")]


@pytest.mark.parametrize("option", SETTINGS)
def test_a_setting_of_predict_is_given_in_full(option):
    for word in (option[:-1], f"{option}s"):
        assert "did you mean" in refusal(lambda word=word: predict.parser().parse_args([f"{word}=1"]))
