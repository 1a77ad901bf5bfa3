"""An example for every plugin: how it is named in Python, in YAML and on the command line."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

from docs.building.catalogue import Plugin
from fdplug import registry

PROMPT = "a small plain red circle on a gray background"
SETTINGS = {
    "policy": "--policy",
    "cache": "--cache",
    "injector": "--injector",
    "part": "--part",
    "sampler": "--sampler",
    "guidance": "--guidance-rows",
    "transform": "--transforms",
}
GIVEN: dict[str, Mapping[str, Any]] = {
    "policy:explicit": {"steps": [0, 5, 10, 15]},
    "policy:uniform": {"interval": 4},
    "policy:early": {"count": 16},
    "policy:tuned": {"file": "tuned.json"},
    "policy:blockcache": {"file": "changes.json"},
    "policy:magcache": {"file": "sizes.json"},
    "cache:tuned": {"file": "tuned.json"},
    "sampler:tuned": {"file": "tuned.json"},
    "cache:damped": {"steps": [0, 5, 10, 15], "shares": [0.0, 0.5, 0.5, 0.0]},
    "injector:tuned": {"file": "tuned.json"},
    "score:hps": {"model": "hpsv2"},
}
"""Options of the examples, where there is none without."""
BESIDE: dict[str, Mapping[str, str]] = {
    "policy:fbcache": {"part": "after-first-block"},
    "policy:magcache": {"part": "all-blocks"},
    "policy:easycache": {"part": "all-blocks"},
    "policy:blockcache": {"part": "attentions"},
    "cache:forecast": {"part": "trunk"},
    "cache:tuned": {"part": "trunk"},
    "cache:damped": {"part": "trunk"},
    "transform:paradigms": {"policy": "all", "injector": "none"},
}
"""Settings that an example needs beside the plugin."""


def options(plugin: Plugin) -> Mapping[str, Any]:
    """Return the options of a plugin's example.

    Raises:
        LookupError: it cannot be built without options, and nobody says which.
    """
    given = GIVEN.get(plugin.fact, {})
    known = registry.options(plugin.cls)
    missing = [name for name, one in known.items() if one.default is inspect.Parameter.empty and name not in given]
    if missing:
        raise LookupError(f"give an example of {', '.join(missing)} for {plugin.fact} in docs/building/examples.py")
    return given


def spec(plugin: Plugin) -> Any:
    """Return the plugin as users name it."""
    given = options(plugin)
    return {plugin.name: dict(given)} if given else plugin.name


def settings(plugin: Plugin) -> dict[str, Any]:
    """Return the settings of `propagate` in the example of a plugin."""
    own = [spec(plugin)] if plugin.kind == "transform" else spec(plugin)
    return {("transforms" if plugin.kind == "transform" else plugin.kind): own, **BESIDE.get(plugin.fact, {})}


def flow(value: Any) -> str:
    """Return a value as YAML writes it in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def word(value: Any) -> str:
    """Return a value as a word of a shell command."""
    text = flow(value)
    return f"'{text}'" if any(sign in text for sign in " {}[]") else text


def command(plugin: Plugin) -> str:
    """Return a command that uses the plugin."""
    if plugin.kind == "family":
        return f"fdplug inspect {plugin.cls.models[0].rpartition('.')[2]}"
    if plugin.kind == "score":
        return f"fdplug evaluate outputs/fast --baseline outputs/plain --scores {plugin.name}"
    words = [SETTINGS[plugin.kind], word(spec(plugin) if plugin.kind != "transform" else [spec(plugin)])]
    for setting, value in BESIDE.get(plugin.fact, {}).items():
        words += [SETTINGS[setting], word(value)]
    return f'fdplug generate "{PROMPT}" \\\n    {" ".join(words)} --out circle.png'


def python(plugin: Plugin) -> str:
    """Return Python that uses the plugin; nothing for those that are no setting of `propagate`."""
    if plugin.kind == "sampler":
        return f'pipe.scheduler = fdplug.registry.build("sampler", {json.dumps(spec(plugin))}).fit(pipe.scheduler)'
    if plugin.kind not in SETTINGS:
        return ""
    given = ", ".join(f"{name}={value!r}" for name, value in settings(plugin).items()).replace("'", '"')
    return f"with fdplug.propagate(pipe, {given}) as on:\n    image = pipe(prompt).images[0]"
