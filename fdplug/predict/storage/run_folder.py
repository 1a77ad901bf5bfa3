"""The folder of a run: whose settings it holds, who writes to it, and whether a run may go on there.

`run.json` keeps every setting that decides what the images look like. A run that was interrupted goes on if they are
the same; how many processes there are, and how large the batches, may change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fdplug.errors import ConfigError
from fdplug.errors.wording import one_line
from fdplug.files.json_text import read_json
from fdplug.files.schema import OBJECT, Object, check
from fdplug.files.source import Source
from fdplug.files.writing import remove_parts, writable_folder, write_text

SETTINGS, METRICS = "run.json", "metrics.json"
LOCK = ".lock"
OLD = "propagate"
"""The key of the settings of propagation before they had a form of their own."""
ORPHANS_LIVE = 5.0
"""Seconds to wait for the last processes of a killed run, which end when they miss their launcher."""


class RunFolder:
    """A folder that one run at a time writes to.

    Args:
        path: made by `open` if it is missing.
        advice: how to name another folder, for messages.
    """

    def __init__(self, path: str | Path, advice: str = "name another folder") -> None:
        self.path = Path(path)
        self.advice = advice
        self._lock: FileLock | None = None

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def open(self) -> None:
        """Make the folder, and keep others out until `close` or the end of this process.

        Raises:
            ConfigError: it cannot be written, or another run is at work there.
        """
        writable_folder(self.path)
        lock = FileLock(self / LOCK, timeout=ORPHANS_LIVE)
        try:
            lock.acquire()
        except Timeout as error:
            raise ConfigError(
                f"another run is writing to the folder {self.path}; wait for it, or {self.advice}"
            ) from error
        except OSError as error:
            raise ConfigError(f"cannot lock the folder {self.path}: {one_line(error)}; {self.advice}") from error
        self._lock = lock
        remove_parts(self.path)

    def close(self) -> None:
        """Let others in; the lock's file stays, for whoever waits for it holds that very file."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def begun(self) -> bool:
        """Whether a run has begun here."""
        return (self / SETTINGS).is_file()

    def check(self, what: str, settings: Mapping[str, Any]) -> None:
        """Compare settings with those that the folder was begun with; where there are none, there is no difference.

        Args:
            what: the section of `run.json`.
            settings: the settings of this run, as json holds them.

        Raises:
            ConfigError: they differ; the message names each difference.
        """
        before = self._read().get(what)
        if before is None:
            return
        if _holds(before, OLD):
            raise ConfigError(
                f"the folder {self.path} was begun with settings of an earlier form: {OLD}, where now stands "
                f"propagation: {{policy: ..., cache: ...}}; to begin anew, add --overwrite, or {self.advice}"
            )
        found = list(differences(before, json.loads(json.dumps(settings))))
        if found:
            raise ConfigError(
                f"the folder {self.path} was begun with other {what}: {'; '.join(found)}. To go on there, take the old"
                f" ones; to begin anew, add --overwrite, or {self.advice}"
            )

    def keep(self, what: str, settings: Mapping[str, Any]) -> None:
        """Compare settings as `check` does, and write them down if there are none."""
        self.check(what, settings)
        self.note(what, settings)

    def note(self, what: str, facts: Mapping[str, Any]) -> None:
        """Write facts down, if there are none yet."""
        written = self._read()
        if what not in written:
            write_text(json.dumps({**written, what: facts}, indent=2, ensure_ascii=False) + "\n", self / SETTINGS)

    def _read(self) -> dict[str, Any]:
        path = self / SETTINGS
        if not path.exists():
            return {}
        source = Source(path, "settings of the run", f"add --overwrite, or {self.advice}", ConfigError)
        return check(source, Object(others=OBJECT), read_json(source))


def _holds(value: Any, key: str) -> bool:
    """Whether a json value has this key anywhere."""
    return isinstance(value, dict) and (key in value or any(_holds(one, key) for one in value.values()))


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """What differs between two json values, as `place: before -> after`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in (*before, *(key for key in after if key not in before)):
            yield from differences(before.get(key), after.get(key), f"{place}.{key}".lstrip("."))
    elif before != after:
        yield f"{place} {_short(before)} -> {_short(after)}"


def _short(value: Any) -> str:
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
