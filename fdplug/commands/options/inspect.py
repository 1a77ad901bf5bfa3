"""The options of `fdplug inspect`."""

from __future__ import annotations

from fdplug.commands.options import shared
from fdplug.commands.parser import Parser

DESCRIPTION = """Read a model's configuration and say which family knows its denoiser, which parts it has, what share of
the work each holds, and what fits. No weights are read. For a class that no family knows, print a row of the table of
transformers to begin from; `fdplug new-plugin NAME --kind family --like MODEL` writes a distribution with it."""
MODEL = "a pipeline's folder, a hub id, a config.json, a configuration of the package, or a class of diffusers"


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(prog="fdplug inspect", description=DESCRIPTION)
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    size = "height and width of the denoiser's sample, in latent pixels; what is usual if left out"
    parser.add_argument("--sample-size", metavar="N", type=int, help=size)
    shared.add_forms(parser, "print the table of parts in Markdown")
    return parser
