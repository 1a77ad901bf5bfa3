"""The help of every command, as `--help` prints it, on one page."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator, Sequence

from docs.building.catalogue import ROOT
from fdplug.cli import COMMANDS

PAGE = "commands.md"
COLUMNS = "100"
SHOWN = re.compile(
    r"^```bash\n(?P<code>(?:(?!```).*\n)*)```\n\n```text\n(?P<output>(?:(?!```).*\n)*)```\n", re.MULTILINE
)
LIVE = {"plugins": ["--kind", "injector"]}
"""Examples that are run as the page is written: they take no time and say nothing of the machine."""


def help_page() -> str:
    """Return the page in Markdown."""
    head = (
        "# Every option\n\nWhat `--help` prints, command by command. How the commands go together: "
        "[Command line](command-line.md)."
    )
    sections = ["\n\n".join(_section(name)) for name in COMMANDS]
    return "\n\n".join([head, *sections]) + "\n"


def _section(name: str) -> Iterator[str]:
    yield f"## fdplug {name}\n\n```text\n{help_of(name).strip()}\n```"
    if name in LIVE:
        yield _example(" ".join(["fdplug", name, *LIVE[name]]), printed(name, LIVE[name]), "")
        return
    for page in sorted((ROOT / "docs" / "tutorials").glob("*.md")):
        title = page.read_text().partition("\n")[0].removeprefix("# ")
        for match in SHOWN.finditer(page.read_text()):
            if re.search(rf"^fdplug {name} [^>|]*$", match["code"], re.MULTILINE):
                yield _example(match["code"], match["output"], f", from [{title}](tutorials/{page.name})")
                return


def _example(code: str, output: str, source: str) -> str:
    return f"For example{source}:\n\n```bash\n{code.strip()}\n```\n\n```text\n{output.strip(chr(10))}\n```"


def help_of(name: str) -> str:
    """Return what `fdplug NAME --help` prints."""
    return printed(name, ["--help"])


def printed(name: str, words: Sequence[str]) -> str:
    """Return what a command prints that is over at once."""
    before, text = os.environ.get("COLUMNS"), io.StringIO()
    os.environ["COLUMNS"] = COLUMNS
    try:
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            COMMANDS[name].run(list(words))
    finally:
        os.environ.pop("COLUMNS")
        os.environ.update({} if before is None else {"COLUMNS": before})
    return text.getvalue()
