"""The options of `fdplug new-plugin`."""

from __future__ import annotations

from pathlib import Path

from fdplug.commands.parser import Parser
from fdplug.registry import KINDS


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(prog="fdplug new-plugin", description="Write a distribution with one plugin.")
    parser.add_argument("name", metavar="NAME", help="what users will call the plugin, such as first-half")
    parser.add_argument(
        "--kind", metavar="KIND", choices=sorted(KINDS), required=True, help=f"one of {', '.join(sorted(KINDS))}"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, default=Path(), help="where to put its folder (default: here)"
    )
    parser.add_argument(
        "--like", metavar="MODEL", help="for a family: the model whose denoiser it is for, as `fdplug inspect` takes it"
    )
    return parser
