"""A file to be read: opened only if it is a regular one, of limited size, in UTF-8; every fault is one line."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdplug.errors import DataError, FdplugError
from fdplug.errors.wording import cut, one_line, printable
from fdplug.files.limits import TooMuch

MEGABYTE = 1_000_000
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


@dataclass(frozen=True)
class Source:
    """A file, and how messages speak of it.

    Args:
        path: the file.
        what: what it should be, such as `annotation file`.
        remedy: what to do where it is not, as a clause: `name another with --data.annotations`.
        error: the class of error that is raised.
        limit: most bytes that are read.
    """

    path: Path
    what: str
    remedy: str
    error: type[FdplugError] = DataError
    limit: int = 64 * MEGABYTE

    @property
    def name(self) -> str:
        """The path as messages show it."""
        return cut(printable(str(self.path)), 200)

    def refused(self, reason: object) -> FdplugError:
        """Return an error about the content of the file."""
        return self.error(f"{self.name}: {one_line(reason)}; {self.remedy}")

    def unreadable(self, reason: object) -> FdplugError:
        """Return an error about the file itself."""
        return self.error(f"cannot read the {self.what} {self.name}: {one_line(reason)}; {self.remedy}")

    def read(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            FdplugError: it is missing, no regular file, not readable, or too large.
        """
        try:
            # A named pipe is opened without waiting for a writer, and then refused.
            number = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except (OSError, ValueError) as error:
            raise self.unreadable(getattr(error, "strerror", None) or error) from error
        try:
            kind = stat.S_IFMT(os.fstat(number).st_mode)
            if kind != stat.S_IFREG:
                raise self.unreadable(f"it is {KINDS.get(kind, 'something else')}, a regular file is needed")
            data = _up_to(number, self.limit + 1)
        except OSError as error:
            raise self.unreadable(error.strerror or error) from error
        finally:
            os.close(number)
        if len(data) > self.limit:
            raise self.unreadable(f"it has more than {self.limit // MEGABYTE:,} MB, which is the most that is read")
        return data

    def text(self) -> str:
        """Return the text of the file, its lines divided by line feeds.

        Raises:
            FdplugError: as `read`, or it is no UTF-8.
        """
        try:
            text = self.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.unreadable(f"it is no text in UTF-8 ({error.reason} at byte {error.start:,})") from error
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def parsed(self, parse: Callable[[str], Any], wrong: str) -> Any:
        """Return what `parse` makes of the text.

        Args:
            parse: raises `TooMuch` where a limit is passed, and `ValueError` where the text is of another format.
            wrong: what is said of the file then.

        Raises:
            FdplugError: it cannot be read or parsed.
        """
        text = self.text()
        try:
            return parse(text)
        except TooMuch as error:
            raise self.refused(error) from error
        except ValueError as error:
            raise self.refused(f"{wrong}: {error}") from error

    def lines(self) -> list[str]:
        """Return the lines of the text; a last empty one does not count, and only line breaks divide lines."""
        return self.text().removesuffix("\n").split("\n")


def _up_to(number: int, limit: int) -> bytes:
    parts, left = [], limit
    while left and (part := os.read(number, min(left, 1 << 24))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def is_file(path: str | Path) -> bool:
    """Whether there is a regular file of this name; False for names that no file can have."""
    return os.path.isfile(path)


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder of this name; False for names that no folder can have."""
    return os.path.isdir(path)
