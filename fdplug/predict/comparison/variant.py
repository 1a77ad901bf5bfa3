"""One way to generate images of the same captions: a sampler, its steps, and whether features are propagated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fdplug import registry
from fdplug.checks import check_choice
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError
from fdplug.errors.wording import shown
from fdplug.files.limits import TooMuch, whole_number
from fdplug.predict.data.caption_text import problem_of
from fdplug.predict.generation.config import GenerationConfig

_NAME = re.compile(r"(?P<sampler>.+?)-(?P<steps>\d+)(?:\+(?P<policy>.+?))?")
_UNIFORM = re.compile(r"uniform(\d+)")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of a comparison.

    Args:
        name: what the row is called, and its folder of images.
        sampler: a registered sampler: a name, `{name: {option: value}}`, or a ready `Sampler`.
        steps: steps of the run; None takes the sampler's own default.
        guidance: guidance scale; None takes that of the whole run.
        propagation: settings of `fdplug.propagate`, or a mapping of some; None runs the pipeline as it is.

    Raises:
        ConfigError: a setting is impossible.
        UnknownPluginError: a plugin name is unknown; the message suggests one.
    """

    name: str
    sampler: Any = "own"
    steps: int | None = None
    guidance: float | None = None
    propagation: PropagationConfig | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.slug:
            raise ConfigError(f"a variant's name is {shown(self.name)}, a text with a letter or digit is needed")
        if problem := problem_of(self.name):
            raise ConfigError(f"a variant's name {problem}")
        self.generation(GenerationConfig())
        if self.propagation is not None:
            object.__setattr__(self, "propagation", PropagationConfig.of(self.propagation))

    @classmethod
    def from_name(cls, name: str) -> Variant:
        """The variant behind `ddim-25`, `ddim-50+paper` or `ddim-50+uniform6` (`sampler-steps+policy`)."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise ConfigError(
                f"no variant {shown(name)}; write sampler-steps or sampler-steps+policy, such as 'ddim-25' or"
                " 'ddim-50+paper', or a mapping {name: ..., sampler: ..., steps: ..., propagation: {...}}"
            )
        policy = match["policy"]
        propagation = None if policy is None else PropagationConfig(policy=_policy(policy))
        return cls(name=name, sampler=match["sampler"], steps=_steps(match["steps"]), propagation=propagation)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Variant:
        """The variant of a YAML or JSON mapping."""
        if "propagate" in mapping:
            raise ConfigError(f"a variant's 'propagate' is called 'propagation' now: {_new_form(mapping)}")
        for key in mapping:
            check_choice("variant setting", key, list(cls.__dataclass_fields__))
        if "name" not in mapping:
            raise ConfigError(f"a variant needs a name, got {shown(dict(mapping), 80)}")
        return cls(**mapping)

    @property
    def slug(self) -> str:
        """The name as a safe folder name."""
        return folder_name(self.name)

    @property
    def sampler_name(self) -> str:
        """The registered name of the sampler."""
        return self._sampler[0]

    @property
    def _sampler(self) -> tuple[str, Any]:
        """Name and options of the sampler."""
        ready = getattr(self.sampler, "name", None)
        return (ready, self.sampler) if isinstance(ready, str) else registry.parse("sampler", self.sampler)

    def like(self, other: Variant) -> bool:
        """Whether both differ in nothing but steps and propagation."""
        return self._sampler == other._sampler and self.guidance == other.guidance

    @property
    def resolved_steps(self) -> int:
        """The steps of the run, the sampler's own default filled in."""
        return self.generation(GenerationConfig()).resolved_steps

    def generation(self, base: GenerationConfig) -> GenerationConfig:
        """What decides the images of this variant: its own settings, and the rest from those of the whole run."""
        own = {name: getattr(self, name) for name in GenerationConfig.fields() if hasattr(self, name)}
        given = base.changed(**{"steps": None} | {name: value for name, value in own.items() if value is not None})
        return given.changed(steps=given.resolved_steps)


def folder_name(name: object) -> str:
    """A variant's name as that of its folder: letters, digits and `+._-`, none of them leading out of it."""
    return re.sub(r"[^a-zA-Z0-9+._-]+", "-", str(name)).strip("-.")


def _new_form(mapping: Mapping[str, Any]) -> str:
    settings = mapping["propagate"]
    text = ", ".join(f"{key}: ..." for key in settings) if isinstance(settings, Mapping) else "..."
    return f"{{name: {mapping.get('name', '...')}, propagation: {{{text}}}}}"


def _steps(digits: str) -> int:
    try:
        return whole_number(digits)
    except TooMuch as error:
        raise ConfigError(f"the steps of a variant: {error}; give at most a thousand") from error


def _policy(text: str) -> str | dict[str, Any]:
    uniform = _UNIFORM.fullmatch(text)
    return {"uniform": {"interval": _steps(uniform[1])}} if uniform else text


DEFAULT_NAMES = (
    "ddim-50",
    "ddim-50+paper",
    "ddim-50+uniform6",
    "dpm-solver-20",
    "dpm-solver-20+paper",
    "dpm-solver-20+uniform3",
    "dpm-solver++-20",
    "dpm-solver++-20+paper",
    "dpm-solver++-20+uniform3",
    "ddim-25",
    "ddim-9",
    "dpm-solver-10",
    "dpm-solver++-10",
)
"""The rows of the paper's Table 1 for Stable Diffusion, as many uniform key steps, and just fewer steps."""
FLOW_DEFAULT_NAMES = ("own-28", "own-28+uniform2", "own-28+uniform4", "own-20", "own-14", "own-10")
"""For models that predict a flow: the pipeline's own scheduler, two numbers of key steps, and just fewer steps."""


def read_variants(given: Any) -> list[Variant]:
    """Variants from names, mappings, ready variants, or a mix of them in a list."""
    items = list(given) if isinstance(given, (list, tuple)) else [given]
    variants = [_variant(item) for item in items]
    if not variants:
        raise ConfigError(f"no variants given; the default ones are {', '.join(DEFAULT_NAMES)}")
    slugs = [variant.slug.lower() for variant in variants]
    for variant, slug in zip(variants, slugs, strict=True):
        if slugs.count(slug) > 1:
            raise ConfigError(f"two variants are named '{variant.name}'; every name (and its folder) must differ")
    return variants


def _variant(item: Any) -> Variant:
    if isinstance(item, Variant):
        return item
    if isinstance(item, str):
        return Variant.from_name(item)
    if isinstance(item, Mapping):
        return Variant.from_mapping(item)
    raise ConfigError(f"a variant must be a name or a mapping, got {shown(item)}")


def baseline_of(variant: Variant, variants: list[Variant], reference: str | None = None) -> Variant | None:
    """The un-accelerated variant that `variant` is to be compared with.

    That is the one named `reference`, if one is. Else for a propagated one: the same sampler (and guidance) with the
    same steps. For one with fewer steps: that with the most steps. None if there is no such variant, and for the one
    with the most steps itself.
    """
    if reference is not None:
        return next((one for one in variants if one.name == reference and one is not variant), None)
    plain = [other for other in variants if other.propagation is None and other.like(variant)]
    if variant.propagation is not None:
        plain = [other for other in plain if other.resolved_steps == variant.resolved_steps]
    longest = max(plain, key=lambda other: other.resolved_steps, default=None)
    return None if longest is variant else longest
