"""The options of `fdplug families`."""

from __future__ import annotations

from fdplug.commands.options import shared
from fdplug.commands.parser import Parser


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(prog="fdplug families", description="List the pipelines that can be accelerated.")
    every = "every class of denoisers that diffusers has: known, proposed by `fdplug inspect`, or refused and why"
    parser.add_argument("--classes", action="store_true", help=every)
    shared.add_forms(parser, "print the table of the site")
    return parser
