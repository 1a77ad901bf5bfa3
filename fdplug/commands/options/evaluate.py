"""The options of `fdplug evaluate`."""

from __future__ import annotations

from fdplug.commands.options import shared
from fdplug.commands.parser import Parser
from fdplug.scores.features import CLIP_MODEL, INCEPTION

EPILOG = """What is a mean over images comes with its standard error in the json; with --baseline also its change, image
by image. A score takes options as a mapping: --scores "clip,{lpips: {net: vgg}}"."""


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser = Parser(prog="fdplug evaluate", description="Score finished folders of images or videos.", epilog=EPILOG)
    add = parser.add_argument
    add(
        "folders",
        metavar="FOLDER",
        nargs="+",
        help="images or videos, as fdplug predict and fdplug compare write them, or .mp4",
    )
    shared.add_scores(parser, "auto")
    shared.add_annotations(parser, "the folder's own manifest if left out")
    real = "real images to compare with: a folder, statistics that --save-statistics wrote, or shapes or shapes-flow"
    add("--real-images", metavar="FOLDER", help=real)
    add("--baseline", metavar="FOLDER", help="un-accelerated images of the same names")
    add("--extractor", default=INCEPTION, help="inception[:WEIGHTS], or hub id or folder of a vision model")
    add("--clip-model", metavar="MODEL", default=CLIP_MODEL, help=f"hub id or folder (default {CLIP_MODEL})")
    size = "crop and resize real images to this height and width; to those of the images if left out"
    add("--size", metavar="N", type=int, help=size)
    add("--seconds", metavar="X", type=float, help="seconds per image for ftc; those of metrics.json if left out")
    add("--save-statistics", metavar="FILE", help="write feature statistics of one folder there, and stop")
    add("--out", metavar="FILE", help="also write the numbers there, as json")
    shared.add_batch_size(parser, 32, "images at a time")
    shared.add_device(parser)
    add("--allow-pickle", action="store_true", help="also read weights that are no safetensors")
    return parser
