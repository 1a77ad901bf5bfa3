"""Run the shell blocks of a page in an empty folder, and put what they print behind them.

```bash
python -m tests.docs.shell docs/tutorials/worth-it.md   # writes the output blocks anew
```

A block that begins with three backticks and `text` directly behind a `bash` block is what its commands print.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```bash\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL)
COLUMNS = "100"
LIMIT = 1800


@dataclass(frozen=True)
class Block:
    """One block of commands.

    Attributes:
        code: the commands.
        output: what the page says that they print; None where it says nothing.
    """

    code: str
    output: str | None


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page, in order."""
    return [Block(match["code"], match["output"]) for match in BLOCK.finditer(text)]


def run(code: str, folder: Path) -> str:
    """Run commands in a folder; return what they print, without the bars and notes of stderr.

    Raises:
        AssertionError: one of them fails.
    """
    environment = {**os.environ, "COLUMNS": COLUMNS, "OMP_WAIT_POLICY": "passive", "NO_COLOR": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, f"{code}\nends with {done.returncode}:\n{done.stdout}{done.stderr}"
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def masked(output: str) -> list[str]:
    """Return lines of which every run of digits, signs and blanks is one mark: times and machines differ.

    Notes that depend on which variant was faster are left out.
    """
    timed = (re.sub(r" \(\d+:\d\d:\d\d\)", "", line) for line in _lasting(output))  # pytest's, past a minute
    lines = (re.sub(r"\(?[-+±.\d]*\d[.\d]*(x\))?", "#", line) for line in timed)
    return [" ".join(line.replace("#x", "#").split()) for line in lines if line.strip()]


def _lasting(output: str) -> Iterator[str]:
    """Yield the lines without those of notes about times, and of rounds as they go."""
    skips = False
    for line in output.splitlines():
        if line.startswith("- "):
            note = " ".join((line + output.partition(line)[2].partition("\n- ")[0]).split())
            skips = any(words in note for words in ("s/image", "as little time"))
        elif not line.strip() or line.startswith("Written"):
            skips = False
        if not skips and not line.startswith("round "):
            yield line


def refreshed(text: str, folder: Path) -> str:
    """Return a page with the output blocks written anew."""

    def again(match: re.Match[str]) -> str:
        printed = run(match["code"], folder)
        if match["output"] is None:
            return match[0]
        return f"```bash\n{match['code']}```\n\n```text\n{printed.strip(chr(10))}\n```\n"

    return BLOCK.sub(again, text)


def main() -> None:
    """Write the output blocks of some pages anew."""
    for name in sys.argv[1:]:
        page = Path(name)
        with tempfile.TemporaryDirectory() as folder:
            page.write_text(refreshed(page.read_text(), Path(folder)))


if __name__ == "__main__":
    main()
