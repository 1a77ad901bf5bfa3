"""A candidate: one choice of sampler, steps and propagation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fdplug import registry
from fdplug.config import PropagationConfig
from fdplug.predict.generation.config import GenerationConfig
from fdplug.settings import plain


@dataclass(frozen=True)
class Candidate:
    """One choice of settings, as json holds them.

    Attributes:
        sampler: spec of the sampler.
        steps: of the run.
        propagation: settings of `propagate` that are not their defaults; None runs every step.
    """

    sampler: Any
    steps: int
    propagation: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """The same text for the same settings, and for no others."""
        return json.dumps(self.described(), sort_keys=True)

    def described(self) -> dict[str, Any]:
        """Return it as json holds it."""
        return {"sampler": plain(self.sampler), "steps": self.steps, "propagation": plain(self.propagation)}

    @classmethod
    def of(cls, held: Mapping[str, Any]) -> Candidate:
        """Return what `described` returned."""
        return cls(held["sampler"], held["steps"], held["propagation"])

    @property
    def config(self) -> PropagationConfig | None:
        """The settings of `propagate`."""
        return None if self.propagation is None else PropagationConfig.of(self.propagation)

    def generation(self, base: GenerationConfig) -> GenerationConfig:
        """Return what decides its images besides propagation."""
        return base.changed(sampler=self.sampler, steps=self.steps)

    @property
    def title(self) -> str:
        """The settings in a few words."""
        text = f"{spec_title('sampler', self.sampler)}, {self.steps} steps"
        given = self.propagation or {}
        if "part" in given:
            part, cache = spec_title("part", given["part"]), spec_title("cache", given["cache"])
            text += f"; {part} at {_keys(given['policy'])}, {cache}"
        if "guidance" in given:
            text += f"; guidance {spec_title('guidance', given['guidance'])}"
        return "; ".join([text, *(spec_title("transform", one) for one in given.get("transforms", ()))])


def _keys(policy: Any) -> str:
    name, options = registry.parse("policy", policy)
    if name == "explicit":
        return f"{len(options['steps'])} tuned key steps"
    if "count" in options:
        rest = {key: value for key, value in options.items() if key != "count"}
        return f"{options['count']} {spec_title('policy', {name: rest})} key steps"
    return f"{spec_title('policy', policy)} key steps"


def spec_title(kind: str, spec: Any) -> str:
    """Return a plugin's name with what is short of its options."""
    name, options = registry.parse(kind, spec)
    shown = [key if value is True else f"{key} {value}" for key, value in options.items() if _is_short(value)]
    return f"{name} ({', '.join(shown)})" if shown else name


def _is_short(value: Any) -> bool:
    return value is not None and value is not False and not isinstance(value, list | tuple | dict)
