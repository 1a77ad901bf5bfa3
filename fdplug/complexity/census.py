"""Every class of denoisers that diffusers has, and what fdplug makes of each: known, proposed, or refused and why.

`fdplug families --classes` prints what was written down of the pinned diffusers, and a test holds the installed one
against it, so that new classes are seen. To write it anew:

    python -m fdplug.complexity.census > fdplug/commands/classes.json
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fdplug import registry
from fdplug.complexity.models import load_denoiser
from fdplug.complexity.proposal import propose
from fdplug.complexity.proposal_code import proposed_parts
from fdplug.denoisers.transformer_table import REFUSED
from fdplug.errors import FdplugError

PACKAGES = ("diffusers.models.transformers", "diffusers.models.unets")
KNOWN, PROPOSED, UNBUILT, REFUSAL, ANOTHER = ("known", "proposed", "needs its config", "refused", "no denoiser")

# Models in the same packages that are no denoisers of a pipeline by themselves.
NO_DENOISERS = {
    "DreamLiteTransformer2DModel": "a block of DreamLiteUNetModel",
    "MiniMaxMusic3RVQDepthDecoder": "a language model that predicts codes one after the other",
    "MotionAdapter": "weights that UNetMotionModel takes in",
    "T5FilmDecoder": "of a pipeline that diffusers has given up",
    "Transformer2DModel": "a block of U-Nets; DiT and PixArt have classes of their own",
    "TransformerTemporalModel": "a block of U-Nets for videos",
    "UVit2DModel": "it predicts tokens, and no noise is taken out",
}


@dataclass(frozen=True)
class Standing:
    """What fdplug makes of one class.

    Attributes:
        model: the class, by its name in diffusers.
        standing: `known`, `proposed`, `needs its config`, `refused` or `no denoiser`.
        said: the family that knows it, the blocks that a proposed family would replay, or the reason.
    """

    model: str
    standing: str
    said: str


def classes() -> dict[str, type]:
    """Return the models in diffusers' packages of denoisers, and those elsewhere that a family knows, by name."""
    import diffusers

    models = [_imported(path) for entry in registry.entries("family").values() for path in entry.cls.models]
    found = {cls.__name__: cls for cls in models if cls.__module__.startswith("diffusers.")}
    for package in map(importlib.import_module, PACKAGES):
        for entry in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module: Any = importlib.import_module(entry.name)
            for name, cls in vars(module).items():
                if isinstance(cls, type) and issubclass(cls, diffusers.ModelMixin) and cls.__module__ == entry.name:
                    found[name] = cls
    return dict(sorted(found.items()))


def family_of_class(cls: type) -> str:
    """Return the name of the first family that knows a class, or nothing."""
    known = {name: entry.cls.models for name, entry in registry.entries("family").items()}
    return next((name for name, models in known.items() if issubclass(cls, tuple(map(_imported, models)))), "")


def _imported(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(importlib.import_module(module), name)
    return found


def standing(name: str, cls: type) -> Standing:
    """Return what fdplug makes of a class; what is not known is built on the meta device, with its own defaults."""
    family = family_of_class(cls)
    if family:
        return Standing(name, KNOWN, family)
    for reasons, word in ((NO_DENOISERS, ANOTHER), (REFUSED, REFUSAL)):
        if name in reasons:
            return Standing(name, word, reasons[name])
    return _proposed(name)


def _proposed(name: str) -> Standing:
    try:
        network = load_denoiser(name)
    except FdplugError:
        return Standing(name, UNBUILT, "its defaults make no model: `fdplug inspect` its `config.json`")
    proposal = propose(network)
    if proposal.unet:
        return Standing(name, PROPOSED, "a U-Net's parts")
    _, trunk = proposed_parts(proposal, network)
    return Standing(name, PROPOSED, f"{len(trunk.blocks)} blocks: {', '.join(proposal.stacks)}")


def census() -> Iterator[Standing]:
    """Yield the standing of every class.

    Raises:
        UnsupportedDenoiserError: of a class none can be proposed, and no reason is known.
    """
    yield from (standing(name, cls) for name, cls in classes().items())


def main() -> None:
    """Print the census of the installed diffusers as JSON."""
    import diffusers

    found = {"diffusers": diffusers.__version__, "classes": [asdict(one) for one in census()]}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
