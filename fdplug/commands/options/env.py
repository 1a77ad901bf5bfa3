"""The options of `fdplug env`."""

from __future__ import annotations

from fdplug.commands.options import shared
from fdplug.commands.parser import Parser


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(prog="fdplug env", description="Print versions, hardware and plugins, for a report of a problem.")
    shared.add_forms(parser, "print what an issue on a tracker shows best")
    return parser
