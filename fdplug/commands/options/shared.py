"""Options that several commands share, and what is typed behind them: settings, plugins, variants."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fdplug.errors import ConfigError
from fdplug.errors.wording import one_line, shown
from fdplug.files.schema import kind
from fdplug.files.source import Source
from fdplug.files.yaml_text import parse_yaml, read_yaml
from fdplug.predict.data.captions import SHAPES
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.loading import DTYPES
from fdplug.presets.preset import Preset, is_preset, load, names
from fdplug.scores import fdplug_scores
from fdplug.settings import Settings

S = TypeVar("S", bound=Settings)
Options = argparse._ActionsContainer
LETTERS = {int: "N", float: "X"}
"""How a number is called in help, by what reads it."""

MODEL = "shapes, shapes-flow, shapes-controlnet, a hub id or a path"
ANNOTATIONS = "like captions_val2017.json, or the name of an embedded model"
REAL_IMAGES = "their real images, for scores that need them"
LOADING = "more of diffusers' loading: {variant: fp16}, ..."
INPUTS = "pictures to begin from, one each, or {image: FOLDER, ...}"


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which pipeline runs, and how."""
    group = parser.add_argument_group("the model")
    group.add_argument("--model", default=SHAPES, help=f"{MODEL} (default {SHAPES})")
    add_settings(group, GenerationConfig, ("guidance", "size", "arguments", "seed"))
    group.add_argument("--dtype", choices=DTYPES, default="float32", help="default float32; auto is float16 on a GPU")
    add_device(group)
    group.add_argument("--allow-pickle", action="store_true", help="also load .bin weights, which can run code")
    group.add_argument("--loading", metavar="MAPPING", help=LOADING)
    group.add_argument("--no-safety-checker", action="store_true", help="leave out the model's safety checker")


def add_stages(parser: Options) -> None:
    """Add the pipelines of a cascade that stand behind the model."""
    add_settings(parser, GenerationConfig, ("then",))


def add_device(parser: Options) -> None:
    """Add where everything runs."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, ...; auto takes a CUDA GPU if there is one")


def add_annotations(parser: Options, otherwise: str = f"default: the model's, or {SHAPES}") -> None:
    """Add the file of captions."""
    parser.add_argument("--annotations", metavar="FILE", help=f"{ANNOTATIONS} ({otherwise})")


def add_limit(parser: Options, default: int, help: str, name: str = "captions") -> None:
    """Add how many captions are taken, kept as `name`."""
    parser.add_argument(
        "--limit", metavar="N", dest=name, type=int, default=default, help=f"{help} (default {default})"
    )


def add_scores(parser: Options, words: str) -> None:
    """Add which scores are computed; those of plugins are known once they are looked up."""
    names = ", ".join(score.name for score in fdplug_scores())
    text = f"{words}, or some of {names} and those that `fdplug plugins --kind score` lists (default auto)"
    parser.add_argument("--scores", metavar="NAMES", default="auto", help=text)


def add_batch_size(parser: Options, default: int, help: str = "images per pipeline call") -> None:
    """Add how many images are made or read at a time."""
    parser.add_argument("--batch-size", metavar="N", type=int, default=default, help=f"{help} (default {default})")


def add_forms(parser: Options, markdown: str | None = None) -> None:
    """Add in which form a table is printed: for the terminal, as JSON, or, where `markdown` says how, as Markdown."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--json", action="store_true", help="print JSON instead of a table")
    if markdown is not None:
        group.add_argument("--markdown", action="store_true", help=markdown)


def add_sampler_options(parser: Options) -> None:
    """Add what says how a run of one sampler goes."""
    add_settings(parser, GenerationConfig, ("sampler", "steps"))


def add_settings(
    parser: Options, cls: type[Settings], names: Sequence[str] | None = None, prefix: str | None = None
) -> None:
    """Add an option for every setting of a class, or for some.

    Args:
        parser: what takes the options.
        cls: the settings.
        names: those that are added; all if left out.
        prefix: for names as a configuration file nests them, such as `model.`.
    """
    for name, field in cls.fields().items():
        if names is not None and name not in names:
            continue
        facts, default = field.metadata, field.default
        shown = "" if default is None or default == () else f" (default {default})"
        parser.add_argument(
            f"--{_option(name, field).replace('_', '-')}" if prefix is None else f"--{prefix}{name}",
            type=facts["reads"],
            choices=facts["choices"],
            default=default,
            metavar=None if facts["choices"] else LETTERS.get(facts["reads"], name.upper().partition("_")[0]),
            help=f"{facts['help']}{shown}".replace("%", "%%"),
        )


def read_settings(options: argparse.Namespace, cls: type[S]) -> S:
    """Return the settings of a class that the command line names; the others have their defaults.

    Raises:
        ConfigError: a value is impossible.
    """
    words = {name: _option(name, field) for name, field in cls.fields().items()}
    given = {name: inline(getattr(options, word)) for name, word in words.items() if hasattr(options, word)}
    return cls(**given)


def _option(name: str, field: dataclasses.Field[Any]) -> str:
    """Return what a setting is called on the command line, with underscores."""
    return field.metadata["option"] or name


def inline(text: Any) -> Any:
    """A plugin or a mapping as it is typed: `paper`, `{uniform: {interval: 4}}`; what is no text stays as it is."""
    try:
        return parse_yaml(text) if isinstance(text, str) and text.lstrip().startswith(("{", "[")) else text
    except ValueError as error:
        reason = one_line(error)
        raise ConfigError(
            f"cannot read {shown(text, 80)}: {reason}; write it as in {{uniform: {{interval: 4}}}}"
        ) from error


def variants(tokens: list[str]) -> Iterator[Any]:
    """Variants as they are typed: names (also with commas between), presets, YAML or JSON files, and mappings."""
    for token in tokens:
        if token.lstrip().startswith(("{", "[")):
            found = inline(token)
            yield from found if isinstance(found, list) else [found]
        elif token.endswith((".yaml", ".yml", ".json")):
            yield from _file(Path(token))
        elif token in names():
            yield _of_preset(load(token))
        else:
            yield from filter(None, token.split(","))


def presets(tokens: Sequence[str]) -> dict[str, Preset]:
    """Return the presets among variants as they are typed, by their file or name."""
    files = [token for token in tokens if token.endswith((".yaml", ".yml"))]
    found = [token for token in files if is_preset(read_yaml(_source(Path(token))))]
    return {token: load(token) for token in [*found, *(token for token in tokens if token in names())]}


def _source(path: Path) -> Source:
    remedy = "give a list of names and mappings in YAML or JSON, or a preset"
    return Source(path, "variants file", remedy, ConfigError)


def _of_preset(preset: Preset) -> dict[str, Any]:
    """Return the variant of a preset, named after its file."""
    chosen = preset.settings
    held = {"sampler": chosen.sampler or "own", "steps": chosen.steps, "guidance": chosen.guidance}
    return {"name": Path(preset.name).stem, **held, "propagation": chosen.propagation}


def _file(path: Path) -> list[Any]:
    source = _source(path)
    found = read_yaml(source)
    if is_preset(found):
        return [_of_preset(load(path))]
    found = found.get("variants") if isinstance(found, dict) and "variants" in found else found
    if not isinstance(found, list):
        raise source.refused(f"it holds {kind(found)}, not a list of variants")
    return found
