"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from fdplug import registry
from fdplug.errors import ConfigError
from fdplug.predict.comparison.variant import Variant
from fdplug.predict.data.captions import SHAPES
from fdplug.predict.generation.generate import Look, check_size
from fdplug.predict.generation.loading import check_model, default_guidance, load_pipeline
from fdplug.predict.generation.validation import DTYPES, check_run


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are fdplug's: one line, no usage text."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing."""
        raise ConfigError(f"{self.prog}: {message}; see {self.prog} --help")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which pipeline runs, and how."""
    parser.add_argument("--model", default=SHAPES, help="'shapes' (embedded), a hub id, or a pipeline's folder")
    parser.add_argument("--guidance", type=float, help="guidance scale; the model's own if left out")
    parser.add_argument("--size", type=int, help="height and width in pixels; the model's own if left out")
    parser.add_argument("--seed", type=int, default=0, help="seed of the run (default 0)")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="default float32; auto is float16 on a GPU")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, ...; auto takes a CUDA GPU if there is one")
    parser.add_argument("--allow-pickle", action="store_true", help="also load .bin weights, which can run code")
    parser.add_argument("--no-safety-checker", action="store_true", help="leave out the model's safety checker")


def add_sampler_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how a run of one sampler goes."""
    parser.add_argument("--sampler", default="ddim", help="a sampler by name (default ddim)")
    parser.add_argument("--steps", type=int, help="denoising steps; the sampler's own default if left out")


def check_model_options(options: argparse.Namespace) -> None:
    """Check what `add_model_options` added, without loading anything."""
    check_run(guidance=options.guidance, size=options.size, seed=options.seed)
    check_model(options.model)


def loading(options: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `load_pipeline`."""
    return {
        "device": device(options.device),
        "dtype": options.dtype,
        "allow_pickle": options.allow_pickle,
        "safety_checker": not options.no_safety_checker,
    }


def opened(options: argparse.Namespace, variant: Variant, needs_prompt: bool = True) -> tuple[Any, Look]:
    """Load the pipeline with the variant's sampler; return it and what decides its images."""
    pipe = load_pipeline(options.model, needs_prompt=needs_prompt, **loading(options))
    check_size(pipe, options.size)
    pipe.scheduler = registry.build("sampler", variant.sampler).build(pipe.scheduler.config)
    guidance = default_guidance(options.model) if options.guidance is None else options.guidance
    return pipe, Look(steps=variant.resolved_steps, guidance=guidance, size=options.size, seed=options.seed)


def device(name: str) -> Any:
    """The torch device behind `--device`.

    Raises:
        ConfigError: There is no such device here.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(name)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"no device '{name}' here: {reason}; take cpu, cuda or mps.") from error
    return found


def inline(text: Any) -> Any:
    """A plugin or a mapping as it is typed: `paper`, `{uniform: {interval: 4}}`; what is no text stays as it is."""
    try:
        return yaml.safe_load(text) if isinstance(text, str) and text.lstrip().startswith(("{", "[")) else text
    except yaml.YAMLError as error:
        raise ConfigError(f"cannot read {text!r:.80}: {' '.join(str(error).split())}") from error


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
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the variants file {path}: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is neither YAML nor JSON: {' '.join(str(error).split())}") from error
    found = found.get("variants") if isinstance(found, dict) and "variants" in found else found
    if not isinstance(found, list):
        raise ConfigError(f"{path} holds a {type(found).__name__}, a list of variants is needed.")
    return found
