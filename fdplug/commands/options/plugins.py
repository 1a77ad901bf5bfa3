"""The options of `fdplug plugins`."""

from __future__ import annotations

from fdplug.commands.options import shared
from fdplug.commands.parser import Parser
from fdplug.registry import KINDS


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(prog="fdplug plugins", description="List installed plugins.")
    shared.add_forms(parser)
    kinds = f"only this kind: {', '.join(sorted(KINDS))}"
    parser.add_argument("--kind", metavar="KIND", choices=sorted(KINDS), help=kinds)
    return parser
