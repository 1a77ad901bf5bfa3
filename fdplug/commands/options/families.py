"""The options of `fdplug families`."""

from __future__ import annotations

from fdplug.commands.options import shared
from fdplug.commands.parser import Parser


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(prog="fdplug families", description="List the pipelines that can be accelerated.")
    shared.add_forms(parser, "print the table of the README")
    return parser
