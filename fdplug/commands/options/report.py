"""The options of `fdplug report`."""

from __future__ import annotations

from fdplug.commands.parser import Parser
from fdplug.report.choices import PAIRS, Choices
from fdplug.report.running_costs import Rates

DESCRIPTION = """Write report.html and vote.html into a folder of `fdplug compare`: each one file, complete in itself.
With --votes, count what the voting page exported, and add it to the report."""


def parser() -> Parser:
    """Return the parser of the command's options."""
    parser, rates, shows = Parser(prog="fdplug report", description=DESCRIPTION), Rates(), Choices()
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="what `fdplug compare --out` wrote")
    add("--votes", nargs="+", metavar="FILE", help="votes*.json that the voting page exported")
    add("--analysis", metavar="FOLDER", help="also show the figures of `fdplug analyze` in this folder")
    pictures = "how many captions to show, one image per variant each (default %(default)s)"
    add("--limit", metavar="N", dest="pictures", type=int, default=shows.pictures, help=pictures)
    side = "height and width in pixels that larger images are reduced to (default %(default)s)"
    add("--size", metavar="N", dest="side", type=int, default=shows.side, help=side)
    add("--pairs", metavar="N", type=int, help=f"pairs to vote on (default {PAIRS})")
    add("--seed", metavar="N", type=int, help="seed of the choice of pairs (default 0)")
    add("--power", metavar="X", type=float, default=rates.power, help="of the machine, in W (default %(default)s)")
    add("--price", metavar="X", type=float, default=rates.price, help="of an hour (default %(default)s)")
    add("--carbon", metavar="X", type=float, default=rates.carbon, help="g CO2 per kWh (default %(default)s)")
    return parser
