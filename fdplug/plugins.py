"""The plugin manager: the contract, the built-ins, then whatever is installed.

Third parties are loaded from the entry-point group `fdplug`. A plugin that cannot be loaded is left out with a warning
that names it; it never stops the others. Environment variables:

| variable | meaning |
|---|---|
| `FDPLUG_PLUGINS` | comma-separated distributions to load; empty: no third party; unset: all |
| `FDPLUG_BLOCK` | comma-separated entry-point names to leave out |
| `FDPLUG_TRACE` | `1`: print every hook call to stderr |
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pluggy

from fdplug import hookspecs
from fdplug.errors import PluginError, PluginWarning, suggestion, warn
from fdplug.errors.containment import as_it_was
from fdplug.errors.interrupts import noticed
from fdplug.errors.wording import cut, one_line

BUILT_IN = (
    "fdplug.policies",
    "fdplug.caches",
    "fdplug.injectors",
    "fdplug.samplers",
    "fdplug.denoisers",
    "fdplug.transforms",
    "fdplug.scores",
    "fdplug.guidance",
    "fdplug.builtin.compile",
    "fdplug.builtin.tuned",
    "fdplug.builtin.damped",
)
STATEMENT = "FDPLUG_CONTRACT"
GROUP = "fdplug"
LONGEST_REASON = 300
SLOW = 10.0
"""Seconds after which a plugin that is still being imported is named."""


@dataclass(frozen=True)
class Failure:
    """A plugin that was left out: its entry point, its distribution and the reason in one line."""

    name: str
    provider: str
    reason: str


class PluginManager(pluggy.PluginManager):
    """pluggy's manager with the fdplug contract, provenance and a list of failures."""

    def __init__(self) -> None:
        """Start with the contract and no plugin."""
        super().__init__("fdplug")
        self.failures: list[Failure] = []
        self.providers: dict[str, str] = {}
        self.yielded: dict[pluggy.HookImpl, list[type]] = {}  # what each plugin's hook has answered
        self.add_hookspecs(hookspecs)

    def add(self, plugin: object, name: str, provider: str) -> None:
        """Register `plugin`; raise `pluggy.PluginValidationError` where it breaks the contract, leaving no trace.

        Raises:
            PluginError: it was written for another contract.
        """
        check_contract(plugin)
        if self.register(plugin, name) is None:
            return
        unknown = [caller.name for caller in self.get_hookcallers(plugin) or [] if _is_unknown(caller)]
        if unknown:
            self.unregister(plugin)
            raise pluggy.PluginValidationError(plugin, _unknown_hook(unknown[0]))
        self.providers[name] = provider

    def leave_out(self, name: str, provider: str, error: BaseException) -> None:
        """Record a failure once, and warn about it."""
        reason = cut(f"{type(error).__name__}: {one_line(error)}", LONGEST_REASON)
        failure = Failure(name, provider, reason)
        if failure not in self.failures:
            self.failures.append(failure)
            warn(f"fdplug plugin '{name}' of {provider} is left out: {reason}", PluginWarning)

    def load(self, entry: importlib.metadata.EntryPoint, provider: str) -> None:
        """Load one entry point; a failure is recorded and warned about, never raised."""
        with self.guarded(entry.name, provider), _said_when_slow(entry.name, provider):
            self.add(entry.load(), entry.name, provider)

    @contextmanager
    def guarded(self, name: str, provider: str) -> Iterator[None]:
        """Run code of a plugin: what it raises is recorded and warned about, what it changes is put back.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed meanwhile; it names the plugin.
        """
        with noticed() as pressed:
            try:
                with as_it_was():
                    yield
            except BaseException as error:  # a module may even call sys.exit
                if pressed():
                    where = f"while plugin '{name}' of {provider} was loaded, which FDPLUG_BLOCK={name} leaves out"
                    raise KeyboardInterrupt(where) from error
                self.leave_out(name, provider, error)


@contextmanager
def _said_when_slow(name: str, provider: str) -> Iterator[None]:
    """Say what is waited for, and how to leave it out, if that takes long."""
    message = f"fdplug: still loading plugin '{name}' of {provider}; FDPLUG_BLOCK={name} leaves it out"
    timer = threading.Timer(SLOW, partial(print, message, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def check_contract(plugin: object) -> None:
    """Refuse a plugin that states another contract than this fdplug has; one that states none is taken at its word.

    Raises:
        PluginError: the statement cannot be read, or names a contract that this fdplug does not keep.
    """
    stated = getattr(plugin, STATEMENT, None)
    if stated is None:
        return
    ours = tuple(map(int, hookspecs.CONTRACT.split(".")))
    try:
        major, minor = (int(number) for number in stated.split("."))
    except (AttributeError, ValueError):
        raise PluginError(f"{STATEMENT} must read like '{hookspecs.CONTRACT}', got {stated!r}") from None
    if major != ours[0] or minor > ours[1]:
        what = "upgrade fdplug" if (major, minor) > ours else "upgrade the plugin"
        raise PluginError(f"written for contract {stated}, this fdplug has {hookspecs.CONTRACT}: {what}")


def _is_unknown(caller: pluggy.HookCaller) -> bool:
    return not caller.has_spec() and not all(impl.optionalhook for impl in caller.get_hookimpls())


def _unknown_hook(name: str) -> str:
    known = [hook for hook in dir(hookspecs) if hook.startswith("fdplug_")]
    hint = suggestion(name, known, f"; hooks are {', '.join(known)}")
    return f"unknown hook '{name}'{hint}"


def _names(variable: str) -> list[str] | None:
    value = os.environ.get(variable)
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


Found = tuple[importlib.metadata.EntryPoint, str, str]


def _entry_points(manager: PluginManager) -> list[Found]:
    """Every entry point of the group: itself, its distribution's name, and `name version`; sorted, without doubles.

    Distributions whose files cannot be read, as while they are being removed, are left out and named.
    """
    found: dict[tuple[str, str], Found] = {}
    seen: set[str] = set()
    for dist in importlib.metadata.distributions():
        try:
            entries = dist.entry_points.select(group=GROUP)
        except (OSError, ValueError, TypeError, AttributeError) as error:  # entry_points.txt is no list of them
            manager.leave_out("unknown", _provider(dist)[1], error)
            continue
        if not entries:
            continue
        name, provider = _provider(dist)
        if name not in seen:  # a later one on the path is not what would be imported
            found |= {(name, entry.name): (entry, name, provider) for entry in entries}
        seen.add(name)
    return [found[key] for key in sorted(found)]


def _provider(dist: importlib.metadata.Distribution) -> tuple[str, str]:
    """Return a distribution's name, and `name version`; where it lies, if it states none."""
    try:
        name, version = dist.metadata["Name"], dist.metadata["Version"]
    except (KeyError, OSError, ValueError, TypeError):
        name = version = None
    name = name or f"a distribution without a name in {getattr(dist, '_path', 'an unknown place')}"
    return name, f"{name} {version}" if version else name


def new_plugin_manager() -> PluginManager:
    """Return a fresh manager: built-ins first, then every installed plugin that the environment allows."""
    manager = PluginManager()
    if os.environ.get("FDPLUG_TRACE") == "1":
        manager.add_hookcall_monitoring(_trace, lambda *_: None)
    version = importlib.metadata.version("fdplug")
    for module in BUILT_IN:
        manager.add(importlib.import_module(module), module, f"fdplug {version}")
    for name in _names("FDPLUG_BLOCK") or []:
        manager.set_blocked(name)
    wanted = _names("FDPLUG_PLUGINS")
    for entry, dist, provider in _entry_points(manager):
        if (wanted is None or dist in wanted) and not manager.is_blocked(entry.name):
            manager.load(entry, provider)
    return manager


def _trace(hook: str, implementations: object, arguments: object) -> None:
    names = [implementation.plugin_name for implementation in implementations]  # type: ignore[attr-defined]
    print(f"fdplug: {hook}({arguments or ''}) -> {', '.join(names)}", file=sys.stderr)


@functools.cache
def get_plugin_manager() -> PluginManager:
    """Return the process's manager, made on first use."""
    return new_plugin_manager()
