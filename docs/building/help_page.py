"""The help of every command, as `--help` prints it, on one page."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from docs.building.catalogue import ROOT
from fdplug.cli import COMMANDS

PAGE = "commands.md"
COLUMNS = "100"
SHOWN = re.compile(
    r"^```bash\n(?P<code>(?:(?!```).*\n)*)```\n\n```text\n(?P<output>(?:(?!```).*\n)*)```\n", re.MULTILINE
)
LIVE = {"plugins": ["--kind", "injector"]}
"""Examples that are run as the page is written: they take no time and say nothing of the machine."""
BLOCK = re.compile(r"^```(bash|text)\n((?:(?!```).*\n)*)```\n", re.MULTILINE)
OWN = ROOT / "docs" / "building" / "command_examples.md"
"""Examples of commands that no tutorial shows with what they print, as small as they can be."""
PAGES = [*sorted((ROOT / "docs" / "tutorials").glob("*.md")), OWN]


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
    found = next((one for look in (_direct, _behind_others) for one in look(name)), None)
    if found is not None:
        page, code, output = found
        title = page.read_text().partition("\n")[0].removeprefix("# ")
        yield _example(code, output, "" if page == OWN else f", from [{title}](tutorials/{page.name})")


def _direct(name: str) -> Iterator[tuple[Path, str, str]]:
    """Yield the pages, the commands, and what they print, where that stands directly behind them."""
    for page in PAGES:
        for match in SHOWN.finditer(page.read_text()):
            if _calls(match["code"], name):
                yield page, match["code"], match["output"]


def _behind_others(name: str) -> Iterator[tuple[Path, str, str]]:
    """Yield them where other commands come between, such as one that prints what the first has put into a file."""
    for page in PAGES:
        codes: list[str] = []
        for kind, content in BLOCK.findall(page.read_text()):
            if kind == "bash" and (codes or _calls(content, name)):
                codes.append(content)
            elif kind == "text" and codes:
                yield page, "".join(codes), content
                break


def _calls(code: str, name: str) -> bool:
    return re.search(rf"^fdplug {name}\b[^>]*$", code, re.MULTILINE) is not None


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
