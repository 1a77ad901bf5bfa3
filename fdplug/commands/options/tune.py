"""The options of `fdplug tune`."""

from __future__ import annotations

from fdplug.commands.options import shared
from fdplug.commands.parser import Parser
from fdplug.tuning.defaults import RESPONSES

DESCRIPTION = """Find the best key steps: measure on a few captions what every possible span costs, then cut the run
into spans by dynamic programming. Takes as many pipeline calls as there are steps, and a dozen more; --refine, --psnr
and --injector tune take further ones. What is found is used by policy: {tuned: {file: FILE}} and, the noise, by
injector: {tuned: {file: FILE}}."""


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(prog="fdplug tune", description=DESCRIPTION)
    add = parser.add_argument
    shared.add_sampler_options(parser)
    keys = "number of key steps; as many as the paper's policy if left out. Of several, --refine improves each"
    add("--key-steps", metavar="N", dest="keys", type=int, nargs="+", help=keys)
    add("--gflops", metavar="X", type=float, help="budget per image, instead of --key-steps")
    add("--seconds", metavar="X", type=float, help="the same in seconds per image, measured: as many as that pays for")
    psnr = "instead of --key-steps: as few as keep this, in dB, to the un-accelerated images"
    add("--psnr", metavar="X", type=float, help=psnr)
    refine = "runs to spend on moving key steps, and a trunk's forecasts, one by one (default 0)"
    add("--refine", metavar="N", type=int, default=0, help=refine)
    injector = "what --psnr and --refine run with: prior or none; tune finds its settings (default prior)"
    add("--injector", metavar="INJECTOR", default="prior", help=injector)
    add("--part", metavar="PART", default="encoder", help="what is computed at key steps only (default encoder)")
    responses = f"runs that measure its response (default {RESPONSES})"
    add("--responses", metavar="N", type=int, default=RESPONSES, help=responses)
    shared.add_annotations(parser)
    shared.add_limit(parser, 8, "how many captions, the last ones of the file")
    add("--out", metavar="FILE", default="tuned.json", help="file to write (default tuned.json)")
    shared.add_model_options(parser)
    return parser
