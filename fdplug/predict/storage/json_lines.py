"""Records in a file, a line of json each: what was written is never lost, what was half written is never read.

The last key of a line, `crc32`, is a checksum of the line without it, so that one of which a byte has changed since is
not read either. Lines that others have written need none.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fdplug.errors import OutputError
from fdplug.files.checksum import CHECKSUM
from fdplug.files.json_text import parse_json
from fdplug.files.schema import OBJECT, Form
from fdplug.files.source import MEGABYTE, Source

MOST = 2_000 * MEGABYTE
_CHECKED = re.compile(rf'(.*), "{CHECKSUM}": "([0-9a-f]{{8}})"\}}'.encode(), re.DOTALL)


class JsonLines:
    """A file that records are added to, one by one, each by a single write.

    Args:
        path: the file; made with the first record. One process at a time may write to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def append(self, record: dict[str, Any]) -> None:
        """Add a record.

        Raises:
            OutputError: the disk is full, or the file cannot be written.
        """
        line = encoded(record)
        try:
            file = self._opened()
            if os.write(file, line) < len(line):  # a full disk takes what fits, and fails at the next byte
                os.write(file, b"\n")
                raise OSError(0, "only half of a line could be written")
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file; another `append` opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(self.path, os.O_APPEND | os.O_CREAT | os.O_RDWR, 0o644)
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":  # a writer was killed in the middle of a line
                os.write(self._file, b"\n")
        return self._file


def encoded(record: dict[str, Any]) -> bytes:
    """Return the line of a record that is not empty, with its checksum."""
    text = json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return text[:-1] + f', "{CHECKSUM}": "{zlib.crc32(text):08x}"}}\n'.encode()


def decoded(line: bytes, *, ours: bool = False) -> Any:
    """Return what a line holds, without its checksum.

    Args:
        line: of the file.
        ours: nobody else has written it, so that it has a checksum.

    Raises:
        ValueError: it is no json, or not the line that was written.
    """
    checked = _CHECKED.fullmatch(line)
    if checked is None:
        if ours or f'"{CHECKSUM}"'.encode() in line:
            raise ValueError("the line is not the one that was written")
        return parse_json(line.decode("utf-8"))
    text = checked[1] + b"}"
    if zlib.crc32(text) != int(checked[2], 16):
        raise ValueError("a byte of the line has changed since it was written")
    return parse_json(text.decode("utf-8"))


def read_json_lines(path: Path, form: Form = OBJECT, *, ours: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the records of a file; lines that are no json object of this form, were cut off or harmed, are left out.

    Args:
        path: the file; a missing one has no records.
        form: what a record looks like.
        ours: nobody else writes to the file: lines without a checksum are left out, too.
    """
    if not path.exists():
        return
    source = Source(path, "records", "remove it, or begin anew with --overwrite", limit=MOST)
    for line in source.read().split(b"\n"):
        try:
            record = decoded(line, ours=ours)
        except ValueError:
            continue
        if next(iter(form.problems(record, "")), None) is None:
            yield record
