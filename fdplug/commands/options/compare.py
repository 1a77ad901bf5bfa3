"""The options of `fdplug compare`."""

from __future__ import annotations

from fdplug.commands.options import shared
from fdplug.commands.parser import Parser
from fdplug.predict.comparison.batch_plan import TIMED
from fdplug.predict.comparison.variant import DEFAULT_NAMES, FLOW_DEFAULT_NAMES
from fdplug.scores.features import CLIP_MODEL
from fdplug.suites import suite

EPILOG = f"""A variant is a name such as ddim-25, ddim-50+paper or ddim-50+uniform6 (sampler-steps+policy), a
mapping such as '{{name: x, sampler: ddim, propagation: {{policy: {{uniform: {{interval: 4}}}}}}}}', a YAML or JSON file
with a list of these, or a preset that `fdplug optimize` wrote. The default ones are {", ".join(DEFAULT_NAMES)};
for a model that predicts a flow {", ".join(FLOW_DEFAULT_NAMES)}."""


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(
        prog="fdplug compare", description="Compare variants over the same captions and seeds.", epilog=EPILOG
    )
    add = parser.add_argument
    add("--variants", metavar="VARIANT", nargs="+", help="what to compare, see below")
    add("--suite", metavar="NAME", help=f"instead: a published ablation, {', '.join(suite.NAMES)}")
    reference = "compare all with this one, instead of each with the un-accelerated run of its sampler"
    add("--reference", metavar="VARIANT", help=reference)
    shared.add_annotations(parser)
    shared.add_limit(parser, 64, "how many captions, one image each")
    add("--inputs", metavar="FOLDER", help=shared.INPUTS)
    add("--real-images", metavar="FOLDER", dest="images", help=shared.REAL_IMAGES)
    shared.add_batch_size(parser, 16)
    shared.add_scores(parser, "auto, none")
    add("--clip-model", metavar="MODEL", default=CLIP_MODEL, help=f"hub id or folder, or none (default {CLIP_MODEL})")
    rounds = f"rounds to time at least (default {TIMED})"
    add("--timed-rounds", metavar="N", type=int, default=TIMED, help=rounds)
    changes = "how many captions to measure feature changes on (default 2)"
    add("--feature-changes", metavar="N", dest="drift", type=int, default=2, help=changes)
    add("--out", metavar="FOLDER", default="outputs/compare", help="folder of the results (default outputs/compare)")
    add("--overwrite", action="store_true", help="replace the results of an earlier comparison there")
    shared.add_model_options(parser)
    parser.set_defaults(model=None)  # a suite may have one of its own
    shared.add_stages(parser)
    return parser
