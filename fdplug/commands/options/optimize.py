"""The options of `fdplug optimize`."""

from __future__ import annotations

from fdplug.commands.options import shared
from fdplug.commands.parser import Parser
from fdplug.scores.features import CLIP_MODEL

DESCRIPTION = """Find the best settings within a budget: first fewer steps with every solver and choice of timesteps
that fits, then what the installed plugins declare; the best of both are judged on prompts that neither has seen.
Sampler, steps and guidance are those that you use now."""
EPILOG = """A budget is 1.5s (an image), 2x, 12calls, 8gflops, psnr=32, SCORE=-0.01 or lossless. All that is measured is
kept in the work folder: after Ctrl-C or a crash the same command goes on."""


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(prog="fdplug optimize", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    prompts = (
        "txt, jsonl, csv, tsv or parquet; captions as json; or an embedded model's by its name (default: the model's)"
    )
    add("--prompts", metavar="FILE", help=prompts)
    budgets = "what you can spend or want to keep, see below; several are answered one by one (default 2x)"
    add("--budget", metavar="BUDGET", nargs="+", default=["2x"], help=budgets)
    add("--time", metavar="TIME", help="what all may take, such as 20min; no limit if left out")
    add(
        "--out",
        metavar="FILE",
        default="fast.yaml",
        help="preset to write (default fast.yaml; of several fast-2x.yaml)",
    )
    add("--work", metavar="FOLDER", help="all that is measured (default: beside the preset, its name and .work)")
    shared.add_sampler_options(parser)
    parser.set_defaults(sampler="own")
    add("--calibration", metavar="N", type=int, default=8, help="most prompts to search on (default 8)")
    add("--held-out", metavar="N", type=int, default=32, help="most prompts to judge on (default 32)")
    shared.add_batch_size(parser, 4)
    add("--trials", metavar="N", type=int, default=40, help="proposals of the search (default 40)")
    add("--scores", metavar="NAMES", default="auto", help="auto, none, or scores with commas between, beside PSNR")
    add("--clip-model", metavar="MODEL", default=CLIP_MODEL, help=f"hub id or folder, or none (default {CLIP_MODEL})")
    add("--maximize", metavar="SCORE", default="psnr", help="what counts within a cost (default psnr)")
    shared.add_model_options(parser)
    return parser
