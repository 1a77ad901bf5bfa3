"""The options of `fdplug generate`."""

from __future__ import annotations

from fdplug.commands.options import shared
from fdplug.commands.parser import Parser
from fdplug.config import PropagationConfig


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(prog="fdplug generate", description="Make one image from one prompt.")
    parser.add_argument("prompt", metavar="PROMPT", help="what the image shows")
    parser.add_argument("--out", metavar="FILE", default="image.png", help="PNG, or MP4 of a video (default image.png)")
    parser.add_argument("--input", metavar="FILE", help="picture to begin from, or {image: FILE, ...}")
    parser.add_argument("--compare", action="store_true", help="put the un-accelerated image beside it")
    shared.add_sampler_options(parser)
    preset = "settings that `fdplug optimize` wrote, or the name of ready ones"
    parser.add_argument("--preset", metavar="FILE", help=preset)
    group = parser.add_argument_group("propagation", "A plugin is a name, or as in '{uniform: {interval: 4}}'.")
    shared.add_settings(group, PropagationConfig)
    group.add_argument("--no-propagation", action="store_true", help="run the pipeline as it is")
    shared.add_model_options(parser)
    shared.add_stages(parser)
    return parser
