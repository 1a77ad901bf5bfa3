"""From names to objects: every kind of plugin is looked up, checked and built here.

A *spec* is how a user names a plugin: `"uniform"`, `{"uniform": {"interval": 4}}`,
`{"name": "uniform", "interval": 4}`, or a ready object of the right class.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from fdplug.checks import LARGEST
from fdplug.errors import ConfigError, FdplugError, PluginClashError, PluginError, UnknownPluginError, suggestion
from fdplug.errors.containment import as_it_was
from fdplug.errors.interrupts import noticed
from fdplug.errors.wording import one_line, shown
from fdplug.plugins import PluginManager, get_plugin_manager

Spec = str | Mapping[str, Any] | object


@dataclass(frozen=True)
class Kind:
    """One kind of plugin: its word, its hook, and the base class that every implementation has."""

    word: str
    plural: str
    hook: str
    base: str

    def base_class(self) -> type:
        """Import and return the base class."""
        return _imported(self.base)


@functools.cache
def _imported(path: str) -> type:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


KINDS: dict[str, Kind] = {
    kind.word: kind
    for kind in (
        Kind("policy", "policies", "fdplug_key_step_policies", "fdplug.policies.KeyStepPolicy"),
        Kind("cache", "caches", "fdplug_feature_caches", "fdplug.caches.FeatureCache"),
        Kind("injector", "injectors", "fdplug_noise_injectors", "fdplug.injectors.NoiseInjector"),
        Kind("sampler", "samplers", "fdplug_samplers", "fdplug.samplers.Sampler"),
        Kind("family", "families", "fdplug_denoiser_families", "fdplug.denoisers.DenoiserFamily"),
        Kind("transform", "transforms", "fdplug_transforms", "fdplug.transforms.Transform"),
        Kind("part", "parts", "fdplug_parts", "fdplug.parts.PartRule"),
        Kind("score", "scores", "fdplug_scores", "fdplug.scores.Score"),
        Kind("guidance", "guidances", "fdplug_guidances", "fdplug.guidance.Guidance"),
    )
}


@dataclass(frozen=True)
class Entry:
    """One registered class, the plugin it came with, and who provides that plugin (`name version`)."""

    cls: type[Any]
    plugin: str
    provider: str
    rivals: tuple[Entry, ...] = ()

    @property
    def path(self) -> str:
        """Where the class is defined."""
        return f"{self.cls.__module__}.{self.cls.__qualname__}"


def entries(kind: str, manager: PluginManager | None = None) -> dict[str, Entry]:
    """Return every registered class of `kind` by name.

    Each plugin is asked once. One whose hook fails, or yields something that is no named class of the kind, is left out
    with a warning; a class whose name is taken becomes a rival of the first, and `find` refuses that name.
    """
    manager = manager or get_plugin_manager()
    found: dict[str, Entry] = {}
    for implementation in getattr(manager.hook, KINDS[kind].hook).get_hookimpls():
        plugin = implementation.plugin_name
        provider = manager.providers.get(plugin, plugin)
        if implementation not in manager.yielded:
            with manager.guarded(plugin, provider):
                classes = [_checked(KINDS[kind], cls) for cls in implementation.function() or ()]
                manager.yielded[implementation] = classes
        for cls in manager.yielded.get(implementation, ()):
            _add(found, Entry(cls, plugin, provider))
    return found


def _add(found: dict[str, Entry], entry: Entry) -> None:
    first = found.get(entry.cls.name, entry)
    found[entry.cls.name] = first if first is entry else replace(first, rivals=(*first.rivals, entry))


def _checked(kind: Kind, cls: Any) -> type[Any]:
    if not (isinstance(cls, type) and issubclass(cls, kind.base_class())):
        raise PluginError(f"{kind.hook} must yield subclasses of {kind.base}, got {shown(cls)}")
    if not isinstance(getattr(cls, "name", None), str) or not cls.name.strip() or not cls.name.isprintable():
        raise PluginError(f'{cls.__qualname__} has no `name`; give the class a `name = "..."`')
    return cls


def clash(kind: str, entry: Entry) -> str:
    """Say in one line who claims the name of `entry`."""
    claims = " and ".join(f"{one.path} of {one.provider}" for one in (entry, *entry.rivals))
    blocked = entry.rivals[0].plugin
    return (
        f"several {KINDS[kind].plural} are named '{entry.cls.name}': {claims}; uninstall all but one, "
        f"or leave a plugin out, as with FDPLUG_BLOCK={blocked}"
    )


def names(kind: str) -> list[str]:
    """Return the registered names of `kind`, sorted."""
    return sorted(entries(kind))


def find(kind: str, name: str) -> type[Any]:
    """Return the class registered under `name`.

    Raises:
        UnknownPluginError: nobody registered the name; the message suggests one and lists what is installed.
        PluginClashError: several plugins registered it; the message names them with their versions.
    """
    known = entries(kind)
    if name not in known:
        hint = suggestion(name, known, ".")
        raise UnknownPluginError(f"no {kind} {shown(name)}{hint} Installed: {', '.join(sorted(known))}")
    if known[name].rivals:
        raise PluginClashError(clash(kind, known[name]))
    return known[name].cls


def parse(kind: str, spec: Spec) -> tuple[str, dict[str, Any]]:
    """Split a spec that is not a ready object into a name and its options."""
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping):
        raise ConfigError(
            f"a {kind} must be a name, a mapping {{name: {{option: value}}}} or an object, got {shown(spec)}"
        )
    if "name" in spec:
        return str(spec["name"]), {key: value for key, value in spec.items() if key != "name"}
    if len(spec) != 1:
        raise ConfigError(f"a {kind} mapping needs one key, its name, or a key 'name'; got {shown(list(spec))}")
    ((name, options),) = spec.items()
    if options is not None and not isinstance(options, Mapping):
        raise ConfigError(
            f"the options of {kind} {shown(name)} must be a mapping {{option: value}}, got {shown(options)}"
        )
    return str(name), dict(options or {})


def options(cls: type) -> dict[str, inspect.Parameter]:
    """Return the configuration of a class: the parameters of its `__init__`, by name."""
    if cls.__init__ is object.__init__:
        return {}
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return {parameter.name: parameter for parameter in parameters}


def _check_options(kind: str, name: str, cls: type, given: Mapping[str, Any]) -> None:
    known = options(cls)
    for option in given:
        if option not in known:
            hint = suggestion(option, known, ";")
            allowed = ", ".join(known) or "no options"
            raise ConfigError(f"{kind} '{name}' has no option {shown(option)}{hint} it has {allowed}")
    _check_numbers(f"{kind} '{name}'", given)
    missing = [key for key, value in known.items() if value.default is value.empty and key not in given]
    if missing:
        raise ConfigError(f"{kind} '{name}' needs {', '.join(missing)}: {{{name}: {{{missing[0]}: ...}}}}")


def _check_numbers(where: str, given: Mapping[str, Any]) -> None:
    """Refuse numbers that no option means: such that are not finite, and whole ones beyond 64 bits."""
    for option, value in given.items():
        for one in value if isinstance(value, list | tuple) else (value,):
            if isinstance(one, float) and not math.isfinite(one):
                raise ConfigError(f"{where}: {option} must be a finite number, got {shown(one)}")
            if isinstance(one, int) and abs(one) > LARGEST:
                raise ConfigError(f"{where}: {option} must be a number of at most 64 bits, got {shown(one)}")


def build(kind: str, spec: Spec) -> Any:
    """Build the object that a spec names; a ready object is returned as it is.

    Raises:
        UnknownPluginError: no plugin carries the name; the message suggests one and lists what is installed.
        ConfigError: an option is unknown, missing or refused by the class.
    """
    if isinstance(spec, KINDS[kind].base_class()):
        return spec
    name, given = parse(kind, spec)
    cls = find(kind, name)
    _check_options(kind, name, cls, given)
    with noticed() as pressed:
        try:
            with nullcontext() if cls.__module__.startswith("fdplug.") else as_it_was():
                return cls(**given)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{kind} '{name}': {one_line(error)}") from error
        except (FdplugError, MemoryError):
            raise
        except BaseException as error:
            if pressed():
                raise
            raise _unbuilt(kind, name, error) from error


def _unbuilt(kind: str, name: str, error: BaseException) -> PluginError:
    reason = f"{type(error).__name__}: {one_line(error)}"
    return PluginError(f"{kind} '{name}' cannot be built: {reason}; name another, or tell its authors")


def check(kind: str, spec: Spec) -> None:
    """Raise what `build` would raise, and keep nothing."""
    build(kind, spec)
