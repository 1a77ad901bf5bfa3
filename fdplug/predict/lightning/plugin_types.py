"""Plugins by their short names in YAML and on the command line.

`policy: paper` and `policy: {uniform: {interval: 4}}` are checked while the configuration is parsed, so that a typo is
an error with a suggestion before any model is loaded.
"""

from __future__ import annotations

from typing import Any, ClassVar

from jsonargparse.typing import register_type

from fdplug import registry


class PluginSpec:
    """A name with options, checked against what is installed.

    Args:
        value: A name, `{name: {option: value}}`, `{name: ..., option: ...}`, a ready object, or another spec.

    Raises:
        UnknownPluginError: No plugin carries the name.
        ConfigError: The plugin has no such option, or refuses its value.
    """

    kind: ClassVar[str]

    def __init__(self, value: Any) -> None:
        self.value = value.value if isinstance(value, PluginSpec) else value
        registry.check(self.kind, self.value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.value == self.value

    @staticmethod
    def short(spec: PluginSpec) -> Any:
        """What stands in a YAML file."""
        return spec.value


class PolicySpec(PluginSpec):
    """A key-step policy."""

    kind = "policy"


class CacheSpec(PluginSpec):
    """A feature cache."""

    kind = "cache"


class InjectorSpec(PluginSpec):
    """A noise injector."""

    kind = "injector"


class SamplerSpec(PluginSpec):
    """A sampler."""

    kind = "sampler"


class TransformSpec(PluginSpec):
    """A transform."""

    kind = "transform"


for _spec in (PolicySpec, CacheSpec, InjectorSpec, SamplerSpec, TransformSpec):
    register_type(_spec, serializer=PluginSpec.short, deserializer=_spec)
