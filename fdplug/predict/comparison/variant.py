"""One way to generate images of the same captions: a sampler, its steps, and whether features are propagated."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fdplug import registry
from fdplug.checks import check_choice
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError
from fdplug.errors.wording import is_control, shown
from fdplug.files.limits import TooMuch, whole_number
from fdplug.predict.data.caption_text import problem_of
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.stage import StageConfig

_NAME = re.compile(r"(?P<sampler>.+?)-(?P<steps>\d+)(?:\+(?P<policy>.+?))?")
LONGEST_NAME = 120
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
        then: of a cascade, a mapping of settings for each pipeline behind the first, put on top of those of the whole
            run; None takes these.

    Raises:
        ConfigError: a setting is impossible.
        UnknownPluginError: a plugin name is unknown; the message suggests one.
    """

    name: str
    sampler: Any = "own"
    steps: int | None = None
    guidance: float | None = None
    propagation: PropagationConfig | None = None
    then: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.slug:
            raise ConfigError(f"a variant's name is {shown(self.name)}, a text with a letter or digit is needed")
        if problem := problem_of(self.name):
            raise ConfigError(f"a variant's name {problem}")
        if len(self.name) > LONGEST_NAME or any(map(is_control, self.name)):
            raise ConfigError(f"a variant's name has at most {LONGEST_NAME} printable letters, got {shown(self.name)}")
        _check_stages(self.name, self.then)
        self._first(GenerationConfig())
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

    def of_run(self, generation: GenerationConfig) -> Variant:
        """Return the same among the variants of a run: without a guidance that is the whole run's, stages filled in.

        Raises:
            ConfigError: it has more stages than the run, or a stage names another model.
        """
        guidance = None if self.guidance == generation.guidance else self.guidance
        return replace(self, guidance=guidance, then=_stages(self, generation.stages))

    def like(self, other: Variant) -> bool:
        """Whether both differ in nothing but steps and propagation."""
        mine, others = _samplers(self.then), _samplers(other.then)
        return self._sampler == other._sampler and self.guidance == other.guidance and mine == others

    @property
    def is_plain(self) -> bool:
        """Whether every pipeline runs as it is."""
        return self.propagation is None and all(stage.is_plain for stage in self.then or ())

    @property
    def resolved_steps(self) -> int:
        """The steps of the first pipeline, the sampler's own default filled in."""
        return self._first(GenerationConfig()).resolved_steps

    @property
    def all_steps(self) -> tuple[int, ...]:
        """The steps of every stage, each sampler's own default filled in."""
        return self.resolved_steps, *(stage.resolved_steps for stage in self.then or ())

    def generation(self, base: GenerationConfig) -> GenerationConfig:
        """What decides the images of this variant: its own settings, and the rest from those of the whole run."""
        given = self._first(base)
        return given if self.then is None else given.changed(then=self.then)

    def _first(self, base: GenerationConfig) -> GenerationConfig:
        """What decides the images of the first pipeline."""
        names = set(GenerationConfig.fields()) - {"then"}
        own = {name: getattr(self, name) for name in names if getattr(self, name, None) is not None}
        given = base.changed(**{"steps": None} | own)
        return given.changed(steps=given.resolved_steps)


def _check_stages(name: str, given: Any) -> None:
    """Refuse what is no list of settings of stages; what they are put on top of is known with the run."""
    if given is None:
        return
    if not isinstance(given, list | tuple):
        raise ConfigError(f"variant {name}: then is a list of mappings, one for each stage, got {shown(given)}")
    for one in given:
        if isinstance(one, Mapping):
            StageConfig.check_names(one)
        elif not isinstance(one, StageConfig):
            raise ConfigError(f"variant {name}: a stage of then is a mapping of settings, got {shown(one)}")


def _stages(variant: Variant, of_run: Sequence[StageConfig]) -> tuple[StageConfig, ...] | None:
    """Return the stages of the run with a variant's settings on top."""
    own = list(variant.then or ())
    if len(own) > len(of_run):
        raise ConfigError(
            f"variant {variant.name} has settings for {len(own)} stages behind the first, the run has {len(of_run)}: "
            "name their models in --then"
        )
    fixed = [name for one in own if isinstance(one, Mapping) for name in one if name in _OF_RUN]
    if fixed:
        raise ConfigError(f"variant {variant.name}: the {fixed[0]} of a stage is the whole run's: give it in --then")
    own += [{}] * (len(of_run) - len(own))
    made = (
        one if isinstance(one, StageConfig) else stage.changed(**one) for one, stage in zip(own, of_run, strict=True)
    )
    return tuple(made) or None


def _samplers(stages: Sequence[StageConfig] | None) -> list[Any]:
    """Return everything about stages but their steps and propagation."""
    return [stage.changed(steps=None, propagation=None) for stage in stages or ()]


_OF_RUN = ("model", "pipeline", "shares", "loading")
"""The settings of a stage that no variant has for itself: a comparison loads every model once."""


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
    plain = [other for other in variants if other.is_plain and other.like(variant)]
    if not variant.is_plain:
        plain = [other for other in plain if other.all_steps == variant.all_steps]
    longest = max(plain, key=lambda other: sum(other.all_steps), default=None)
    return None if longest is variant else longest
