"""`fdplug new-plugin`: write a distribution with one plugin that works, to begin from."""

from __future__ import annotations

import argparse
import re
import warnings
from importlib.resources import files
from pathlib import Path
from string import Template

from fdplug import __version__, registry
from fdplug.commands.options.new_plugin import parser
from fdplug.errors import ConfigError, PluginWarning
from fdplug.files.writing import writable_folder, write_text
from fdplug.hookspecs import CONTRACT

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# How a user asks for a plugin of each kind.
USE = {
    "policy": 'with fdplug.propagate(pipe, policy="$name"):\n    image = pipe("a red circle").images[0]',
    "cache": 'with fdplug.propagate(pipe, cache="$name"):\n    image = pipe("a red circle").images[0]',
    "injector": 'with fdplug.propagate(pipe, injector="$name"):\n    image = pipe("a red circle").images[0]',
    "guidance": 'with fdplug.propagate(pipe, guidance="$name"):\n    image = pipe("a red circle").images[0]',
    "part": 'with fdplug.propagate(pipe, part="$name"):\n    image = pipe("a red circle").images[0]',
    "transform": 'with fdplug.propagate(pipe, transforms=["$name"]):\n    image = pipe("a red circle").images[0]',
    "family": 'with fdplug.propagate(pipe):\n    image = pipe("a red circle").images[0]',
    "score": "fdplug compare --scores $name --variants ddim-50 ddim-50+paper",
    "sampler": 'pipe.scheduler = registry.build("sampler", "$name").fit(pipe.scheduler)',
}
# What a proposed family needs besides: a class for a U-Net, a row for a transformer.
UNET_WORDS = {
    "typing": "from typing import TYPE_CHECKING\n",
    "part": ", Part",
    "checking": "\nif TYPE_CHECKING:\n    from torch import nn\n",
}
ROW_WORDS = {"typing": "", "part": "", "checking": ""}


def main(argv: list[str]) -> int:
    """Run `fdplug new-plugin` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug new-plugin` with these options."""
    kind, folder = options.kind, write(options.name, options.kind, options.out, options.like)
    print(f"{folder}: the {kind} '{options.name}', with tests that pass.\n  cd {folder} && pytest\n  pip install -e .")
    return 0


def write(name: str, kind: str, out: Path, like: str | None = None) -> Path:
    """Write the distribution of a plugin; return its folder.

    Args:
        name: the plugin's name: words of small letters and digits with hyphens between.
        kind: one of `registry.KINDS`.
        out: the folder in which the distribution's own folder is made.
        like: for a family, the model whose denoiser it is for, as `fdplug inspect` takes it.

    Raises:
        ConfigError: the name cannot be one, or is taken, or the folder is there and not empty.
        UnsupportedDenoiserError: nothing can be proposed for that model's class.
    """
    _check_name(name, kind)
    dist = f"fdplug-{name}"
    folder = out / dist
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already; give another name, or another folder with --out")
    module = dist.replace("-", "_")
    words = {
        "name": name,
        "key": name.replace("-", "_"),
        "kind": kind,
        "dist": dist,
        "module": module,
        "cls": "".join(word.capitalize() for word in name.split("-")),
        "version": ".".join(__version__.split(".")[:2]),
        "contract": CONTRACT,
    }
    words["use"] = _example(kind, Template(USE[kind]).substitute(words))
    proposed = None if like is None else _proposed(kind, like, words)
    for path, template in _layout(module, kind if proposed is None else f"{kind}_like").items():
        writable_folder((folder / path).parent)
        write_text(Template(template).substitute(words), folder / path)
    if proposed is not None:
        write_text(proposed, folder / "tests" / "config.json")
    return folder


def _example(kind: str, use: str) -> str:
    """Return a fence that shows how the plugin is used: a command for a score, Python for all others."""
    if kind == "score":
        return f"```bash\n{use}\n```"
    return f"```python\n{'from fdplug import registry' if kind == 'sampler' else 'import fdplug'}\n\n{use}\n```"


def _proposed(kind: str, like: str, words: dict[str, str]) -> str:
    """Add the words of a proposal for a model; return its denoiser's configuration."""
    if kind != "family":
        raise ConfigError(f"--like says which model a family is for, got --kind {kind}; leave it out")
    from fdplug.complexity.inspection import family_of
    from fdplug.complexity.models import find_model
    from fdplug.complexity.proposal import propose
    from fdplug.complexity.proposal_code import definition, imports

    network = find_model(like).network
    known = family_of(network)
    if known is not None:
        raise ConfigError(f"family '{known.name}' knows {type(network).__name__} already; propagate its pipeline")
    proposal = propose(network)
    home, _, name = proposal.model.rpartition(".")
    words |= {"model": proposal.model, "home": home, "model_class": name, "imports": imports(proposal)}
    words["definition"] = definition(proposal, words["name"], words["cls"])
    words |= UNET_WORDS if proposal.unet else ROW_WORDS
    words["family"] = words["cls"] if proposal.unet else "family(ROW)"
    return str(network.to_json_string())


def _layout(module: str, kind: str) -> dict[str, str]:
    """Return the templates by the path of the file that each becomes."""
    templates = files("fdplug.commands") / "templates"
    names = {
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": "README.md.txt",
        f"{module}.py": f"{kind}.py.txt",
        f"{module}_model.py": f"{kind}.model.txt",
        f"tests/test_{module.removeprefix('fdplug_')}.py": f"{kind}.test.txt",
    }
    found = {path: templates / name for path, name in names.items()}
    return {path: source.read_text(encoding="utf-8") for path, source in found.items() if source.is_file()}


def _check_name(name: str, kind: str) -> None:
    if not NAME.fullmatch(name):
        raise ConfigError(f"a plugin's name is made of small letters, digits and single hyphens, got {name!r}")
    if name.startswith("fdplug-"):
        raise ConfigError(f"leave out 'fdplug-', the distribution gets it by itself: {name.removeprefix('fdplug-')}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        known = registry.entries(kind)
    if name in known:
        raise ConfigError(f"there is a {kind} '{name}' of {known[name].provider} already; choose another name")
