"""Records in a file, a line of json each: what was written is never lost, what was half written is never read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fdplug.errors import OutputError
from fdplug.files.json_text import parse_json
from fdplug.files.schema import OBJECT, Form
from fdplug.files.source import MEGABYTE, Source

MOST = 2_000 * MEGABYTE


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
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
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


def read_json_lines(path: Path, form: Form = OBJECT) -> Iterator[dict[str, Any]]:
    """The records of a file; lines that are no json object of this form, such as one cut off, are left out."""
    if not path.exists():
        return
    source = Source(path, "records", "remove it, or begin anew with --overwrite", limit=MOST)
    for line in source.read().split(b"\n"):
        try:
            record = parse_json(line.decode("utf-8"))
        except ValueError:
            continue
        if next(iter(form.problems(record, "")), None) is None:
            yield record
