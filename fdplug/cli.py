"""The command `fdplug`: finds the command that is meant and turns fdplug's errors into one line and exit code 2."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
        work = importlib.import_module(self.module).run
        with _plain_warnings(f"fdplug {self.module.rpartition('.')[2].replace('_', '-')}"):
            return int(work(options) or 0)


@contextmanager
def _plain_warnings(title: str) -> Iterator[None]:
    """Write fdplug's own warnings as a line of the command's, without the place in the code that gave them."""
    usual = warnings.formatwarning

    def told(message: Any, category: type[Warning], *place: Any, **more: Any) -> str:
        own = any(one.__name__ == "FdplugWarning" for one in category.__mro__)
        return f"{title}: {message}\n" if own else usual(message, category, *place, **more)

    warnings.formatwarning = told
    try:
        yield
    finally:
        warnings.formatwarning = usual


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


# Where torchao is installed, these warn of kernels of GPUs that this machine has not; transformers, of every image
# processor that works without torchvision.
TALKATIVE = ("torchao", "torch.utils._pytree", "diffusers.quantizers.torchao", "transformers.utils.import_utils")


def main() -> int:
    """Run the command named first on the command line; return the exit code."""
    # OpenMP threads that spin while they wait make small models many times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    _prepare_streams()
    for logger in TALKATIVE:
        logging.getLogger(logger).setLevel(logging.ERROR)
    argv = sys.argv[1:]
    name = argv[0] if argv and argv[0] in COMMANDS else ""
    return _interruptible(name, lambda: COMMANDS[name].run(argv[1:]) if name else _without_command(argv))


def _without_command(argv: list[str]) -> int:
    """Print what the command line asks for that names no command; return the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        from fdplug import __version__

        print(f"fdplug {__version__}")
        return 0
    return _unknown(argv[0])


def _prepare_streams() -> None:
    """Let output that was closed go nowhere, and write what the terminal's encoding does not have as escapes."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _unknown(name: str) -> int:
    from fdplug.errors import suggestion
    from fdplug.errors.wording import one_line

    hint = suggestion(name, [*COMMANDS, "--help", "--version"], ";")
    print(f"fdplug: no command '{one_line(name)}'{hint} commands are {', '.join(COMMANDS)}", file=sys.stderr)
    return 2


def _interruptible(name: str, work: Callable[[], int]) -> int:
    """Return the exit code of some work; Ctrl-C ends it with one line, whatever became of it on its way here."""
    from fdplug.errors.interrupts import CODE, heeded

    def say(where: str = "") -> str:
        then = "goes on where it was" if name and COMMANDS[name].resumes else "begins anew"
        return f"fdplug {name}".strip() + f": interrupted{where}; the same command {then}" if _speaks() else ""

    with heeded(say) as interrupts:
        try:
            return _guarded(name, work)
        except BaseException as error:
            if not interrupts.came and not isinstance(error, KeyboardInterrupt):
                raise
            where = f" {error}" if isinstance(error, KeyboardInterrupt) and error.args else ""
            if line := say(where):
                print(line, file=sys.stderr)
            return CODE


def _speaks() -> bool:
    """Whether this is the process that speaks, of several that run the same command and are interrupted together."""
    return all(os.environ.get(rank, "0") == "0" for rank in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def _guarded(name: str, work: Callable[[], int]) -> int:
    """Return the exit code of some work, with errors that a user can cause turned into one line."""
    from fdplug.errors import FdplugError
    from fdplug.errors.wording import one_line

    title = f"fdplug {name}".strip()
    try:
        return _flushed(work)
    except FdplugError as error:
        print(f"{title}: {one_line(error, 10_000)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        _drop_output()
        return 1
    except OSError as error:
        _drop_output()
        print(f"{title}: {one_line(error)}; make room there or name another place, and try again", file=sys.stderr)
        return 2


def _flushed(work: Callable[[], int]) -> int:
    """Do some work and print all that it said, so that what cannot be printed is noticed here."""
    try:
        code = work()
    except SystemExit:  # after --help
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def _drop_output() -> None:
    """Send what is still to be printed nowhere, as it cannot be."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
