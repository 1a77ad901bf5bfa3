"""The help of every command, as `--help` prints it, on one page."""

from __future__ import annotations

import contextlib
import io
import os

from fdplug.cli import COMMANDS

PAGE = "commands.md"
COLUMNS = "100"


def help_page() -> str:
    """Return the page in Markdown."""
    head = (
        "# Every option\n\nWhat `--help` prints, command by command. How the commands go together: "
        "[Command line](command-line.md)."
    )
    sections = [f"## fdplug {name}\n\n```text\n{help_of(name).strip()}\n```" for name in COMMANDS]
    return "\n\n".join([head, *sections]) + "\n"


def help_of(name: str) -> str:
    """Return what `fdplug NAME --help` prints."""
    before, printed = os.environ.get("COLUMNS"), io.StringIO()
    os.environ["COLUMNS"] = COLUMNS
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            COMMANDS[name].options(["--help"])
    finally:
        os.environ.pop("COLUMNS")
        os.environ.update({} if before is None else {"COLUMNS": before})
    return printed.getvalue()
