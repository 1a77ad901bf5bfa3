"""The command `fdplug`: finds the command that is meant and turns fdplug's errors into one line and exit code 2."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """One sub-command: the module whose `run(options)` does its work, and its help line.

    The module of the same name in `fdplug.commands.options` has the parser; it is imported first, and at once.
    """

    module: str
    help: str
    resumes: bool = False

    def options(self, argv: list[str]) -> Any:
        """Return the options that the command line names; prints help and stops where that is asked for."""
        home, _, name = self.module.rpartition(".")
        return importlib.import_module(f"{home}.options.{name}").parser().parse_args(argv)

    def run(self, argv: list[str]) -> int:
        """Read the options, then import and do the work; return the exit code."""
        options = self.options(argv)
        return int(importlib.import_module(self.module).run(options) or 0)


COMMANDS = {
    "predict": Command(
        "fdplug.commands.predict", "generate images for a file of captions (LightningCLI, --config FILE)", resumes=True
    ),
    "compare": Command(
        "fdplug.commands.compare", "run several variants over the same captions, print one table", resumes=True
    ),
    "report": Command("fdplug.commands.report", "one page about a comparison, and a blind vote on its pictures"),
    "evaluate": Command("fdplug.commands.evaluate", "score finished folders of images: FID, CLIP score, ..."),
    "generate": Command("fdplug.commands.generate", "make one image from one prompt"),
    "families": Command("fdplug.commands.families", "list the pipelines that can be accelerated"),
    "optimize": Command(
        "fdplug.commands.optimize",
        "find the best settings for a model, your prompts and what you can spend",
        resumes=True,
    ),
    "inspect": Command("fdplug.commands.inspect", "family, parts and methods of a model, from its configuration alone"),
    "tune": Command("fdplug.commands.tune", "find the best key steps for a model, a sampler and a budget"),
    "analyze": Command("fdplug.commands.analyze", "how a denoiser's features change from step to step, with figures"),
    "complexity": Command("fdplug.commands.complexity", "parameters and GFLOPs of a denoiser, layer by layer"),
    "plugins": Command("fdplug.commands.plugins", "list what is installed, with options and failures"),
    "env": Command("fdplug.commands.env", "print versions, hardware and plugins, for a report of a problem"),
    "new-plugin": Command("fdplug.commands.new_plugin", "write a distribution with one plugin, to begin from"),
}


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: fdplug COMMAND [OPTIONS]", "", *lines, "", "fdplug COMMAND --help says more; --version"])


def main() -> int:
    """Run the command named first on the command line; return the exit code."""
    # OpenMP threads that spin while they wait make small models many times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    argv = sys.argv[1:]
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        from fdplug import __version__

        print(f"fdplug {__version__}")
        return 0
    return _run(argv[0], argv[1:])


def _run(name: str, argv: list[str]) -> int:
    from fdplug.errors import FdplugError, suggestion
    from fdplug.errors.wording import one_line

    if name not in COMMANDS:
        hint = suggestion(name, [*COMMANDS, "--help", "--version"], ";")
        print(f"fdplug: no command '{one_line(name)}'{hint} commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return COMMANDS[name].run(argv)
    except FdplugError as error:
        print(f"fdplug {name}: {one_line(error, 10_000)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        then = "goes on where it was" if COMMANDS[name].resumes else "begins anew"
        print(f"fdplug {name}: interrupted; the same command {then}", file=sys.stderr)
        return 130
