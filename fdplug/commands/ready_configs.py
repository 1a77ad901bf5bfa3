"""The ready configurations inside the package, found by their bare names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fdplug.errors import ConfigError, suggestion
from fdplug.errors.wording import shown
from fdplug.files.source import Source, is_file
from fdplug.files.yaml_text import read_yaml

FOLDER = Path(__file__).parent / "configs"
REMEDY = "give a YAML file such as `fdplug predict --print_config` prints"


def names() -> list[str]:
    """File names of the ready configurations."""
    return sorted(path.name for path in FOLDER.glob("*.yaml"))


def is_config(given: str | None) -> bool:
    """Whether this is a file of YAML by its name, as a group of options takes one."""
    return given is not None and given.endswith((".yaml", ".yml"))


def find(given: str) -> str:
    """The path of a configuration: a file that exists, or a ready one by its name (with or without `.yaml`).

    Raises:
        ConfigError: neither; the message suggests one and lists what is ready.
    """
    if is_file(given):
        _check(given, read_yaml(Source(Path(given), "configuration", REMEDY, ConfigError)))
        return given
    for name in (given, f"{given}.yaml"):
        if name in names():
            return str(FOLDER / name)
    hint = suggestion(given, names(), ".")
    raise ConfigError(f"no configuration file '{given}'{hint} Ready ones: {', '.join(names())}")


def _check(path: str, held: object) -> None:
    """Refuse a file that holds no settings, or names one by what is no text."""
    if not isinstance(held, dict):
        raise ConfigError(f"{path}: it holds {shown(held)}, settings by name are needed; {REMEDY}")
    for one in (held, *held.values()):
        names_none = [key for key in one if not isinstance(key, str)] if isinstance(one, dict) else []
        if names_none:
            given = shown(names_none[0])
            raise ConfigError(f"{path}: {given} names no setting, a text does, in quotes if need be; {REMEDY}")


def resolve(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments with every `--config` replaced by its path."""
    resolved: list[str] = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if resolved and resolved[-1] in ("-c", "--config"):
            resolved.append(find(argument))
        elif flag == "--config" and equals:
            resolved.append(f"--config={find(value)}")
        else:
            resolved.append(argument)
    return resolved
