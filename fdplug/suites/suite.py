"""A suite: the variants of one published table, with its figures."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import yaml

from fdplug import registry
from fdplug.checks import choice
from fdplug.errors import ConfigError

NAMES = (
    *("table1", "table1-if", "table2", "table3", "table5", "table6"),
    *("table9", "table11", "table12", "table13", "table14"),
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a published table.

    Attributes:
        published: figures by name: `fid`, `clip` (2.5 x cosine), `gflops` (per image, in the paper's convention),
            `denoiser_seconds`, `seconds` (per image), `ftc` (fid x seconds / clip), `is` (Inception score),
            `precision`, `recall`; none for a row that is ours alone.
        name: what the row is called, if it has no variant.
        variant: the settings of `fdplug.predict.Variant` that run it; None where `compare` cannot.
        against: the row whose figures its own are compared with, if no variant says so.
        not_run: why `compare` cannot run it.
        needs: a plugin that is not built in, by its kind, and the `distribution` that brings it.
    """

    published: Mapping[str, float]
    name: str = ""
    variant: Mapping[str, Any] | None = None
    against: str = ""
    not_run: str = ""
    needs: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What the row is called."""
        return str(self.variant["name"]) if self.variant else self.name

    @property
    def obstacle(self) -> str:
        """Why the row cannot be run here; empty if it can."""
        for kind in self.needs.keys() - {"distribution"}:
            if self.needs[kind] not in registry.entries(kind):
                return f"{kind} '{self.needs[kind]}' is not installed: pip install {self.needs['distribution']}"
        return self.not_run


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One published table.

    Attributes:
        name: such as `table5`.
        title: its number and its subject.
        setup: the model, captions and machine of the published figures.
        models: hub ids of the published model.
        rows: its rows, in the published order; the first is the baseline.
        notes: what must be known to compare.
        model: what runs it where no model is named.
        annotations: from what that model generates, unless said; empty: from its own captions.
        scores: what that model is scored by, unless said; empty: its usual ones.
        then: of a cascade, the settings of the pipelines behind the first, with their models.
        stand_ins: by the name of another model, the pipelines that stand in for these.
        component: what the pipeline must have besides a denoiser, such as `controlnet`.
    """

    name: str
    title: str
    setup: str
    models: tuple[str, ...]
    rows: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    model: str = "shapes"
    annotations: str = ""
    scores: str = ""
    then: tuple[Mapping[str, Any], ...] = ()
    stand_ins: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    component: str = ""

    @property
    def variants(self) -> list[Mapping[str, Any]]:
        """The settings of every variant that can be run here."""
        return [line.variant for line in self.rows if line.variant is not None and not line.obstacle]

    def stages_behind(self, model: str) -> Sequence[Mapping[str, Any]] | None:
        """Return the pipelines that go on with the image of a model; None where the table is about one pipeline.

        Raises:
            ConfigError: the table is about a cascade, and nobody knows how it goes on behind this model.
        """
        if not self.then:
            return None
        if model in self.models:
            return self.then
        if model not in self.stand_ins:
            behind = ", ".join(f"{{model: {one['model']}}}" for one in self.then)
            raise ConfigError(
                f"{self.name} is about {len(self.then) + 1} pipelines in a row, {self.models[0]} and those behind it; "
                f"for '{model}' say what goes on with its image, as in --then '[{behind}]'"
            )
        return self.stand_ins[model]

    def stand_in_note(self, model: str) -> list[str]:
        """Say what stands in for the pipelines of a cascade, if anything does."""
        if model not in self.stand_ins:
            return []
        stages = "; ".join(f"{one['pipeline']} {dict(one.get('arguments') or {})}" for one in self.stand_ins[model])
        return [
            f"STAND-INS: {model} goes on with its own image, by {stages}. A stage of image-to-image takes that share "
            "of its steps only. What can be compared is the share of GFLOPs that propagation leaves, and nothing else."
        ]

    @property
    def left_out(self) -> list[str]:
        """A sentence for every row that cannot be run here."""
        return [f"{self.name}: NOT RUN: {line.label}: {line.obstacle}." for line in self.rows if line.obstacle]

    def check(self, pipeline: type[Any]) -> None:
        """Refuse a class of pipelines that this table is not about.

        Raises:
            ConfigError: it has not the component that the table needs.
        """
        if self.component and self.component not in inspect.signature(pipeline.__init__).parameters:
            raise ConfigError(
                f"{self.name} is about pipelines with a {self.component}, which {pipeline.__name__} has not; take "
                f"--model {self.model}, or name class and component: --loading "
                f"'{{pipeline: CLASS, components: {{{self.component}: FOLDER}}}}'"
            )


def load(name: str) -> Suite:
    """Read the suite of one table.

    Raises:
        ConfigError: there is none of that name.
    """
    choice("suite", name, NAMES)
    found = yaml.safe_load((files("fdplug.suites") / "data" / f"{name}.yaml").read_text(encoding="utf-8"))
    rows = tuple(Line(**row) for row in found.pop("rows"))
    lists: dict[str, Any] = {key: tuple(found.pop(key, ())) for key in ("models", "notes", "then")}
    return Suite(name=name, rows=rows, **lists, **found)
