"""The options of `fdplug complexity`."""

from __future__ import annotations

from fdplug.commands.options import shared
from fdplug.commands.parser import Parser
from fdplug.complexity.public_configs import public_configs

DESCRIPTION = f"""Print the layers of a denoiser, and parameters and GFLOPs of its encoder, bottleneck and decoder (the
paper's Tables 7 and 10). Only the configuration is read; inside the package are {", ".join(public_configs())}.
A multiply-add counts as one FLOP; 'paper' counts half of attention, as the paper's published column does."""
MODEL = "stable-diffusion-v1-5"


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(prog="fdplug complexity", description=DESCRIPTION)
    add = parser.add_argument
    model = "a configuration of the package, shapes or shapes-flow, a config.json, a pipeline's folder, or a hub id"
    add("--model", default=MODEL, help=f"{model} (default {MODEL})")
    size = "height and width of the denoiser's sample, in latent pixels; the model's own if left out"
    add("--sample-size", metavar="N", type=int, help=size)
    add("--rows", metavar="N", type=int, default=2, help="batch rows; one image with guidance makes 2 (default 2)")
    add("--no-layers", action="store_true", help="print the parts only")
    shared.add_forms(parser, "print both tables in Markdown")
    return parser
