"""Files that are written whole or not at all, to places that are known to be writable before the work begins."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from fdplug.errors import ConfigError, OutputError
from fdplug.errors.wording import cut, one_line, printable

PART = ".part"


def writable_folder(folder: Path) -> Path:
    """Make `folder` and prove that files can be written there.

    Raises:
        ConfigError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
    except (OSError, ValueError) as error:
        reason = one_line(getattr(error, "strerror", None) or error)
        raise ConfigError(
            f"cannot write to the folder {_name(folder)}: {reason}; name another, or make room there"
        ) from error
    return folder


def writable_file(path: Path) -> Path:
    """Return a path that `write_bytes` can write to, its folder made; what is there stays as it is.

    Raises:
        ConfigError: it is a folder or something else that is no file, or its folder cannot be written.
    """
    writable_folder(path.parent)
    try:
        there = os.lstat(path) if os.path.lexists(path) or "\0" in str(path) else None
        long = len(os.fsencode(_temporary(path).name)) > os.pathconf(path.parent, "PC_NAME_MAX")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write {_name(path)}: {one_line(error)}; name another file") from error
    if there is not None and not path.is_file():
        raise ConfigError(f"cannot write {_name(path)}: it is there and no file; name another")
    if long:
        raise ConfigError(f"cannot write {_name(path)}: the name is too long; name another file")
    return path


def write_text(text: str, path: Path) -> None:
    """Write a text file; lone surrogates, which no file can hold, as escapes."""
    write_bytes(text.encode("utf-8", "backslashreplace"), path)


def write_bytes(data: bytes, path: Path) -> None:
    """Write a temporary file beside `path`, then move it there; leave nothing behind if that fails.

    Raises:
        OutputError: the disk is full, or the folder cannot be written; an older file of that name is as it was.
    """
    temporary = _temporary(path)
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        reason = one_line(getattr(error, "strerror", None) or error)
        raise OutputError(f"cannot write {_name(path)}: {reason}") from error
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote to `folder` or to one inside it."""
    for path in folder.rglob(f".*{PART}"):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _name(path: Path) -> str:
    return cut(printable(str(path)), 200)


def _temporary(path: Path) -> Path:
    """Return a name that nobody can guess, so that nobody can put a link there."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
