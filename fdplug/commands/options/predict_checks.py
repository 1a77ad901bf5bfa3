"""What is plainly wrong in the options of `fdplug predict`, found before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fdplug.commands import ready_configs
from fdplug.config import PropagationConfig, refuse_flat
from fdplug.errors import ConfigError, suggestion
from fdplug.errors.wording import one_line, shown
from fdplug.files.yaml_text import parse_yaml
from fdplug.predict.generation.config import GenerationConfig
from fdplug.settings import Settings

LOADING = ("model", "preset", "propagation", "dtype", "allow_pickle", "safety_checker", "loading")
CLASS_WORDS = ("help", "class_path", "init_args", "dict_kwargs")


def check(given: Sequence[str], known: Sequence[str]) -> None:
    """Refuse configurations that are not there, unknown settings of ours, and numbers that cannot be.

    Args:
        given: the arguments after the word `predict`.
        known: every option that is ours, without the leading `--`.

    Raises:
        ConfigError: one of them.
    """
    ready_configs.resolve(given)
    for word, value in _options(given):
        if not (value or "").startswith("{") and not ready_configs.is_config(value):
            _check_name(word, known)
        for prefix, settings in (("model.propagation.", PropagationConfig), ("model.", GenerationConfig)):
            name = word.removeprefix(prefix)
            if word.startswith(prefix) and name in settings.fields():
                _check_value(settings, name, value)


def _options(given: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield every option with its value, whether `=` stands between or a space."""
    for index, argument in enumerate(given):
        if argument.startswith("--"):
            word, equals, value = argument[2:].partition("=")
            following = given[index + 1] if index + 1 < len(given) else None
            yield word.rstrip("+"), value if equals else following


def _check_name(word: str, known: Sequence[str]) -> None:
    """Refuse settings of the model that are none, and a word alone that belongs into a group."""
    if word.startswith("model.") and not _is_setting(word):
        refuse_flat([word.removeprefix("model.")])
        raise ConfigError(f"no option --{one_line(word)}{suggestion(word, known, ';')} see fdplug predict --help")
    name = word.replace("-", "_")
    meant = [one for one in known if one.rpartition(".")[2] == name and one != name]
    if "." not in word and word not in known and meant:
        raise ConfigError(f"no option --{word}, did you mean '--{meant[0]}'? see fdplug predict --help")


def _is_setting(word: str) -> bool:
    """Whether an option `model.NAME` or `model.propagation.NAME`, or what is nested deeper, can be one."""
    _, name, *deeper = word.split(".")
    if name == "propagation" and deeper:
        return deeper[0] in (*PropagationConfig.fields(), *CLASS_WORDS)
    return name in (*GenerationConfig.fields(), *LOADING, *CLASS_WORDS)


def _check_value(settings: type[Settings], name: str, value: str | None) -> None:
    """Check a number or a choice; what names a plugin is looked up with the model."""
    field = settings.fields()[name]
    check = field.metadata["check"]
    if value is None:
        raise ConfigError(f"{name} needs a value; see fdplug predict --help")
    if field.metadata["kind"] is None and check is not None and name != "part":
        try:
            read: Any = parse_yaml(value)
        except ValueError as error:
            raise ConfigError(f"{name} cannot be {shown(value)}: {one_line(error)}; give a number or a word") from error
        if read is not None:
            check(name, read)
