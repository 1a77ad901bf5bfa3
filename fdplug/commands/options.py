"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fdplug import registry
from fdplug.commands.parser import Parser as Parser
from fdplug.errors import ConfigError
from fdplug.errors.wording import one_line, shown
from fdplug.files.schema import kind
from fdplug.files.source import Source
from fdplug.files.yaml_text import parse_yaml, read_yaml
from fdplug.predict.data.captions import SHAPES
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import check_size, check_steps
from fdplug.predict.generation.loading import DTYPES, check_model, default_guidance, load_pipeline
from fdplug.settings import Settings

S = TypeVar("S", bound=Settings)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which pipeline runs, and how."""
    parser.add_argument("--model", default=SHAPES, help="'shapes' (embedded), a hub id, or a pipeline's folder")
    add_settings(parser, GenerationConfig, ("guidance", "size", "seed"))
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="default float32; auto is float16 on a GPU")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, ...; auto takes a CUDA GPU if there is one")
    parser.add_argument("--allow-pickle", action="store_true", help="also load .bin weights, which can run code")
    parser.add_argument("--no-safety-checker", action="store_true", help="leave out the model's safety checker")


def add_sampler_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how a run of one sampler goes."""
    add_settings(parser, GenerationConfig, ("sampler", "steps"))


def add_settings(parser: argparse.ArgumentParser, cls: type[Settings], names: Sequence[str] | None = None) -> None:
    """Add an option for every setting of a class, or for some."""
    for name, field in cls.fields().items():
        if names is not None and name not in names:
            continue
        facts, default = field.metadata, field.default
        shown = "" if default is None or default == () else f" (default {default})"
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=facts["reads"],
            choices=facts["choices"],
            default=default,
            help=f"{facts['help']}{shown}".replace("%", "%%"),
        )


def read_settings(options: argparse.Namespace, cls: type[S]) -> S:
    """Return the settings of a class that the command line names; the others have their defaults.

    Raises:
        ConfigError: a value is impossible.
    """
    given = {name: inline(getattr(options, name)) for name in cls.fields() if hasattr(options, name)}
    return cls(**given)


def check_model_options(options: argparse.Namespace) -> GenerationConfig:
    """Check what `add_model_options` added, without loading anything; returns what decides the images."""
    generation = read_settings(options, GenerationConfig)
    check_model(options.model)
    return generation


def loading(options: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `load_pipeline`."""
    return {
        "device": device(options.device),
        "dtype": options.dtype,
        "allow_pickle": options.allow_pickle,
        "safety_checker": not options.no_safety_checker,
    }


def opened(
    options: argparse.Namespace, generation: GenerationConfig, needs_prompt: bool = True
) -> tuple[Any, GenerationConfig]:
    """Load the pipeline with its sampler; return it and what decides its images, defaults filled in."""
    pipe = load_pipeline(options.model, needs_prompt=needs_prompt, **loading(options))
    check_size(pipe, generation.size)
    pipe.scheduler = registry.build("sampler", generation.sampler).fit(pipe.scheduler)
    check_steps(pipe.scheduler, generation.resolved_steps)
    return pipe, generation.resolved(default_guidance(options.model))


def device(name: str) -> Any:
    """The torch device behind `--device`.

    Raises:
        ConfigError: there is no such device here.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(name)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"no device '{name}' here: {reason}; take cpu, cuda or mps") from error
    return found


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
    """Variants as they are typed: names (also with commas between), YAML or JSON files, and mappings."""
    for token in tokens:
        if token.lstrip().startswith(("{", "[")):
            found = inline(token)
            yield from found if isinstance(found, list) else [found]
        elif token.endswith((".yaml", ".yml", ".json")):
            yield from _file(Path(token))
        else:
            yield from filter(None, token.split(","))


def _file(path: Path) -> list[Any]:
    source = Source(path, "variants file", "give a list of names and mappings, in YAML or JSON", ConfigError)
    found = read_yaml(source)
    found = found.get("variants") if isinstance(found, dict) and "variants" in found else found
    if not isinstance(found, list):
        raise source.refused(f"it holds {kind(found)}, not a list of variants")
    return found
