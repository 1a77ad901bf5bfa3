"""Which scores are computed, and how they come to their networks and real images: for `compare` and `evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug import registry
from fdplug.errors import ConfigError
from fdplug.errors.wording import one_line, shown
from fdplug.files.yaml_text import parse_yaml
from fdplug.predict.data.captions import SHAPES, Caption
from fdplug.predict.data.references import ReferenceImages
from fdplug.predict.storage.names import IMAGE, SOUND, VIDEO
from fdplug.scores.clip_score import ClipScore
from fdplug.scores.features import CLIP_MODEL, INCEPTION
from fdplug.scores.features.reference import Reference
from fdplug.scores.fid import Fid
from fdplug.scores.fidelity import Fidelity
from fdplug.scores.outlines import OutlineScore
from fdplug.scores.score_set import ScoreSet
from fdplug.scores.temporal import Motion, Temporal
from fdplug.shapes import CONTROLNET, MODELS

if TYPE_CHECKING:
    from fdplug.scores.features.reference import Advance

NONE, AUTO = "none", "auto"
Spec = str | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What the command line says about the networks of all scores; a score's own options come first.

    Attributes:
        extractor: of the scores that have this option.
        clip: hub id or folder of the model behind the CLIP score.
        allow_pickle: also read weights that are no safetensors.
    """

    extractor: str = INCEPTION
    clip: str = CLIP_MODEL
    allow_pickle: bool = False

    def options(self, name: str) -> dict[str, Any]:
        """Return the options of a score that are said here."""
        known = registry.options(registry.find("score", name))
        said = {"extractor": self.extractor, "allow_pickle": self.allow_pickle}
        own = {"model": self.clip} if name == ClipScore.name else {}
        return {key: value for key, value in said.items() if key in known} | own


def parse_scores(text: str) -> list[Spec]:
    """Return the scores that a text names: names, or mappings {name: {option: value}}, with commas between.

    The name of a number stands for the score that computes it: `psnr` for `fidelity`.

    Raises:
        ConfigError: the text cannot be read.
        UnknownPluginError: there is no such score.
    """
    try:
        given = parse_yaml(f"[{text}]")
    except ValueError as error:
        reason = one_line(error, 160)
        raise ConfigError(f"cannot read the scores {shown(text)}: {reason}; write names with commas between") from error
    specs: list[Spec] = []
    for spec in given:
        one = spec if isinstance(spec, Mapping) else _by_number(str(spec))
        registry.find("score", name_of(one))
        if one not in specs:
            specs.append(one)
    return specs


def name_of(spec: Spec) -> str:
    """Return the name of the score that a spec means."""
    return registry.parse("score", spec)[0]


def _by_number(name: str) -> str:
    """Return the score that has this name; if none has, the one that computes a number of this name."""
    known = registry.entries("score")
    owners = [one for one, entry in known.items() if name in {number.key for number in entry.cls.numbers}]
    return name if name in known or not owners else owners[0]


def built(specs: Sequence[Spec], networks: Networks) -> ScoreSet:
    """Return the scores that are named, not yet begun.

    Raises:
        UnknownPluginError: there is no such score.
        ConfigError: an option is impossible.
    """
    scores = []
    for spec in specs:
        name, options = registry.parse("score", spec)
        scores.append(registry.build("score", {name: {**networks.options(name), **options}}))
    return ScoreSet(scores)


def chosen(given: str, model: str, images: str | None, clip_model: str, made: str = IMAGE) -> list[Spec]:
    """Return the scores for `--scores` of a comparison: `auto`, `none`, or names with commas between.

    Args:
        given: what was asked for.
        model: the model's name.
        images: folder of the real images, if there is one.
        clip_model: the model behind the CLIP score, or `none`.
        made: what the pipeline makes; `auto` is a temporal score for videos, and none for sounds.
    """
    if given == NONE or (given == AUTO and made == SOUND):
        return []
    if given == AUTO and made == VIDEO:
        return [*([ClipScore.name] if clip_model != NONE else []), Temporal.name, Motion.name]
    if given == AUTO:
        if model in MODELS:
            return [SHAPES, *([OutlineScore.name] if model == CONTROLNET else [])]
        return [*([ClipScore.name] if clip_model != NONE else []), *([Fid.name] if images else [])]
    for name in map(str.strip, given.split(",")):
        if name in (AUTO, NONE):
            raise ConfigError(f"the score '{name}' stands alone; combine only {', '.join(registry.names('score'))}")
    return parse_scores(given)


class Scoring:
    """The scores of a comparison; everything that can be refused is refused before a model is loaded.

    Fidelity to the baseline is always among them.

    Args:
        specs: what `chosen` returns.
        annotated: all captions of the annotation file; its real images are the reference of FID and shapes-FD.
        images: folder of the real images, if they are files.
        captions: the captions that will be drawn.
        networks: the networks behind the scores.
        made: what the pipeline makes.

    Raises:
        ConfigError: a score cannot be computed of it.
    """

    def __init__(
        self,
        specs: Sequence[Spec],
        annotated: Sequence[Caption],
        images: str | Path | None,
        captions: Sequence[Caption],
        networks: Networks,
        made: str = IMAGE,
    ) -> None:
        self.names = [name_of(spec) for spec in specs]
        always = [] if Fidelity.name in self.names or made == SOUND else [Fidelity.name]
        self.scores = built([*specs, *always], networks)
        self.scores.check_media(made)
        self.scores.check_parts()
        self.references: ReferenceImages | None = None
        if self.scores.comparing and images is not None:
            self.references = ReferenceImages(annotated, images)
        self.scores.check(captions)
        if self.scores.comparing and images is None:
            self.references = ReferenceImages(annotated)

    @property
    def num_references(self) -> int:
        """How many real images will be read."""
        return 0 if self.references is None else len(self.references) * self.scores.num_extractions

    def load(self, device: Any, advance: Advance, size: tuple[int, int] | None = None) -> Callable[[], ScoreSet]:
        """Load the networks; the result begins scores for one variant each.

        Args:
            device: where the networks run.
            advance: called with the number of real images just read.
            size: height and width of the generated images, to which real ones are cropped and resized.
        """
        self.scores.load(device)
        reference = None if self.references is None else Reference(self.references, size, advance)
        return lambda: self.scores.begun(reference)
