"""`fdplug plugins`: what is installed, from whom, with which options, and what was left out. Imports no torch."""

from __future__ import annotations

import argparse
import inspect
import json
import warnings
from typing import Any

from fdplug import registry
from fdplug.commands.options.plugins import parser
from fdplug.errors import PluginWarning
from fdplug.files.text_tables import plain_table, terminal_width
from fdplug.plugins import get_plugin_manager
from fdplug.registry import KINDS, Entry, clash, entries


def main(argv: list[str]) -> int:
    """Run `fdplug plugins` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug plugins` with these options; exit code 1 where a plugin was left out or names clash."""
    listing = collect([options.kind] if options.kind else list(KINDS))
    print(json.dumps(listing, indent=2) if options.json else _table(listing))
    return 1 if listing["failures"] else 0


def collect(kinds: list[str]) -> dict[str, Any]:
    """Return everything that is registered, and every failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        manager = get_plugin_manager()
        found = [(kind, entry) for kind in kinds for entry in entries(kind, manager).values()]
    failures = [{"plugin": one.name, "provider": one.provider, "reason": one.reason} for one in manager.failures]
    for kind, entry in found:
        if entry.rivals:
            failures.append({"plugin": entry.plugin, "provider": entry.provider, "reason": clash(kind, entry)})
    return {"plugins": [_describe(kind, entry) for kind, entry in found], "failures": failures}


def _describe(kind: str, entry: Entry) -> dict[str, Any]:
    name, _, version = entry.provider.rpartition(" ")
    return {
        "kind": kind,
        "name": entry.cls.name,
        "provider": name,
        "version": version,
        "class": entry.path,
        "options": {key: _default(parameter) for key, parameter in registry.options(entry.cls).items()},
        "summary": (inspect.getdoc(entry.cls) or "").partition("\n")[0],
    }


def _default(parameter: inspect.Parameter) -> Any:
    if parameter.default is parameter.empty:
        return "required"
    plain = isinstance(parameter.default, str | int | float | bool | type(None))
    return parameter.default if plain else repr(parameter.default)


def _table(listing: dict[str, Any]) -> str:
    rows = []
    for one in listing["plugins"]:
        shown = ", ".join(f"{key}={value}" if value != "required" else key for key, value in one["options"].items())
        rows.append((one["name"], one["kind"], f"{one['provider']} {one['version']}", shown or "-", one["summary"]))
    table = plain_table(("NAME", "KIND", "PROVIDER", "OPTIONS", "WHAT IT IS"), rows, terminal_width())
    failed = [f"FAILED  {one['plugin']} ({one['provider']}): {one['reason']}" for one in listing["failures"]]
    return "\n".join([table, *failed])
