"""Checks of what a user asks for, made before any model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fdplug import checks, registry
from fdplug.checks import check_choice
from fdplug.errors import ConfigError
from fdplug.pipeline import DECODINGS

DTYPES = ("auto", "float32", "float16", "bfloat16")
KINDS = ("policy", "cache", "injector")
PROPAGATION = (*KINDS, "part", "decoding", "max_span_batch", "transforms")
UNACCELERATED: dict[str, Any] = {"policy": "all", "injector": "none"}
"""The settings of `fdplug.propagate` that change nothing, bit for bit, but let its ledger count."""


def check_propagation(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `fdplug.propagate`, checked; every plugin name and option is looked up.

    Raises:
        ConfigError: A setting, plugin or option is unknown or impossible.
    """
    if not isinstance(settings, Mapping):
        raise ConfigError(f"propagate is {settings!r:.60}, a mapping of {', '.join(PROPAGATION)} is needed.")
    for key in settings:
        check_choice("propagate() setting", key, PROPAGATION)
    for kind in KINDS:
        if kind in settings:
            registry.check(kind, settings[kind])
    transforms = settings.get("transforms", ())
    if isinstance(transforms, (str, Mapping)):
        raise ConfigError(f"transforms is {transforms!r:.60}, a list of transforms is needed.")
    for transform in transforms:
        registry.check("transform", transform)
    check_choice("decoding", settings.get("decoding", "auto"), DECODINGS)
    checks.span_limit(settings.get("max_span_batch"))
    _check_part(settings.get("part", "encoder"))
    return dict(settings)


def _check_part(spec: Any) -> None:
    """A part of a plugin is looked up; whether a family has a part of that name is known with the model."""
    name, _ = registry.parse("part", spec)
    if name in registry.entries("part"):
        registry.check("part", spec)


def check_run(*, steps: object = None, guidance: object = None, seed: object = 0, size: object = None) -> None:
    """Refuse impossible numbers; None stands for the default of the sampler or the model."""
    if steps is not None:
        checks.whole("steps", steps, 1)
    if guidance is not None:
        checks.number("guidance", guidance, 0)
    if size is not None:
        checks.whole("size", size, 8)
    checks.whole("seed", seed, 0)


def name_of(kind: str, spec: Any) -> str:
    """The registered name in a spec of a plugin, or that of a ready object."""
    ready = getattr(spec, "name", None)
    return ready if isinstance(ready, str) else registry.parse(kind, spec)[0]


def plain(value: Any) -> Any:
    """A setting as json can hold it; a ready object by its representation."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else repr(value)
