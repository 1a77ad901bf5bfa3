"""Frozen settings: each field carries its default, help and check, and whatever lists settings reads the fields."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from fdplug.errors import ConfigError, suggestion
from fdplug.errors.wording import shown

Check = Callable[[str, Any], Any]


def setting(
    default: Any,
    help: str,
    check: Check | None = None,
    *,
    reads: Callable[[str], Any] = str,
    choices: tuple[str, ...] | None = None,
    kind: str | None = None,
    option: str | None = None,
) -> Any:
    """Return the field of one setting.

    Args:
        default: what is taken where nothing is given.
        help: a phrase for `--help` and docstrings, without a full stop.
        check: called with the name and the value given; returns the value to keep, or raises `ConfigError`.
        reads: makes a value of a word on the command line; a word that begins with `{` or `[` is read as YAML.
        choices: the only words allowed, for `--help`; `check` refuses others.
        kind: the kind of plugin that is named.
        option: its name on command lines where another class has a setting of that name; its own name if left out.
    """
    metadata = {"help": help, "check": check, "reads": reads, "choices": choices, "kind": kind}
    metadata["option"] = option
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of a frozen keyword-only dataclass whose fields are made by `setting`; jsonargparse wants one as well.

    Attributes:
        what: what one of its settings is called in messages.
    """

    what: ClassVar[str] = "setting"

    def __init_subclass__(cls) -> None:
        """Write the help of every setting into the docstring."""
        inherited: dict[str, Any] = getattr(cls, "__dataclass_fields__", {})
        own = {name: value for name, value in vars(cls).items() if isinstance(value, dataclasses.Field)}
        lines = [f"    {name}: {field.metadata.get('help', '')}." for name, field in {**inherited, **own}.items()]
        summary = inspect.cleandoc(cls.__doc__ or "Settings.").partition("\n\nArgs:")[0]
        cls.__doc__ = "\n".join([summary, "", "Args:", *lines])

    def __post_init__(self) -> None:
        """Check every setting that was given; defaults are known to be right.

        Raises:
            ConfigError: a value is impossible.
        """
        for name, field in self.fields().items():
            value, check = getattr(self, name), field.metadata.get("check")
            if check is not None and value is not field.default:
                object.__setattr__(self, name, check(name, value))

    @classmethod
    def fields(cls) -> dict[str, dataclasses.Field[Any]]:
        """Return the settings by name, in order."""
        return {field.name: field for field in dataclasses.fields(cls)}

    @classmethod
    def check_names(cls, given: Mapping[str, Any]) -> None:
        """Refuse names that are no settings, and suggest the nearest.

        Raises:
            ConfigError: there is no such setting.
        """
        known = cls.fields()
        for name in given:
            if name not in known:
                hint = suggestion(str(name), known, ";")
                raise ConfigError(f"no {cls.what} '{name}'{hint} there are {', '.join(known)}")

    @classmethod
    def of(cls, given: Self | Mapping[str, Any]) -> Self:
        """Return settings from a mapping; ready ones are returned as they are.

        Raises:
            ConfigError: a name is unknown, or a value is impossible.
        """
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise ConfigError(f"the {cls.what}s are a mapping of {', '.join(cls.fields())}; got {shown(given)}")
        cls.check_names(given)
        return cls(**given)

    def changed(self, **changes: Any) -> Self:
        """Return the same settings with some of them changed.

        Raises:
            ConfigError: a name is unknown, or a value is impossible.
        """
        self.check_names(changes)
        return dataclasses.replace(self, **changes)

    def chosen(self) -> dict[str, Any]:
        """Return, by name, the settings that are not their defaults."""
        held = {name: getattr(self, name) for name in self.fields()}
        return {name: value for name, value in held.items() if value != self.fields()[name].default}

    def described(self) -> dict[str, Any]:
        """Return every setting as json can hold it."""
        return {name: plain(getattr(self, name)) for name in self.fields()}


def plain(value: Any) -> Any:
    """Return a value as json can hold it: settings as a mapping, a ready object by its representation."""
    if isinstance(value, Settings):
        return value.described()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else repr(value)
