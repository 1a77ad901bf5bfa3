"""The options of `fdplug analyze`."""

from __future__ import annotations

from fdplug.commands.options import shared
from fdplug.commands.parser import Parser

DESCRIPTION = """Measure on a few captions (or classes) how the features of every block change between adjacent steps:
the paper's Figure 3, for transformers Figure 11. Statistics are streamed: memory does not grow with captions or steps.
Writes one figure per panel (PNG and SVG), two CSV files, and a reading in words."""


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(prog="fdplug analyze", description=DESCRIPTION)
    shared.add_sampler_options(parser)
    shared.add_annotations(parser)
    shared.add_limit(parser, 8, "how many captions, one image each; the paper took 100")
    shared.add_batch_size(parser, 8)
    parser.add_argument(
        "--out", metavar="FOLDER", default="outputs/analyze", help="folder of the results (default outputs/analyze)"
    )
    shared.add_model_options(parser)
    return parser
