"""What was measured so far: in memory and, where there is a work folder, in a file from which a search goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from fdplug.errors import ConfigError
from fdplug.files.schema import TEXT, ListOf, Object, OrNone, Plain, number, whole
from fdplug.files.writing import writable_folder
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.measuring.outcome import Outcome
from fdplug.predict.storage.json_lines import JsonLines, read_json_lines

Values = Mapping[str, Sequence[float]]


_FORMS = {
    "fact": Object({"fact": TEXT, "value": Plain("a value", lambda value: True)}),
    "failed": Object({"failed": TEXT, "reason": TEXT}),
    "candidate": Object(
        {
            "candidate": TEXT,
            "ids": ListOf(whole()),
            "values": Object(others=ListOf(OrNone(number()))),
            "seconds": OrNone(number(0)),
        }
    ),
}
"""The records; what is of no such form, or has changed since it was written, is measured again."""


class Records:
    """Everything that a search has measured.

    Args:
        folder: the work folder; None keeps all in memory.
        request: what decides the measurements; a folder of another request is refused.

    Attributes:
        failures: why candidates could not be run, by their key.
        facts: other things found out, by name.

    Raises:
        ConfigError: the folder belongs to another search, or another process works in it.
    """

    def __init__(self, folder: Path | None = None, request: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self._forget()
        self._file: JsonLines | None = None
        self._lock = ExitStack()
        if folder is not None:
            self._open(folder, dict(request or {}))

    def _open(self, folder: Path, request: dict[str, Any]) -> None:
        lock = FileLock(writable_folder(folder) / ".lock")
        try:
            self._lock.enter_context(lock.acquire(timeout=0))
        except Timeout:
            raise ConfigError(f"another process searches in {folder}; wait for it, or name another folder") from None
        path = folder / "measurements.jsonl"
        for record in read_json_lines(path, ours=True):
            if record.get("fact") == "request":
                self._forget()
            self._take(record)
        earlier = self.facts.get("request")
        if earlier is None:  # of whatever was measured nobody knows what for
            self._forget()
        elif earlier != request:
            self._lock.close()
            differing = sorted(key for key in {*earlier, *request} if earlier.get(key) != request.get(key))
            raise ConfigError(
                f"{folder} holds a search with another {', '.join(differing)}; name another folder, or remove this one"
            )
        self._file = JsonLines(path)
        if earlier is None:
            self.note("request", request)

    def _forget(self) -> None:
        self.failures: dict[str, str] = {}
        self.facts: dict[str, Any] = {}
        self._values: dict[str, dict[int, dict[str, float]]] = {}
        self._seconds: dict[str, list[tuple[tuple[int, ...], float]]] = {}

    def close(self) -> None:
        """Close the file and let other processes in."""
        if self._file is not None:
            self._file.close()
        self._lock.close()

    def note(self, name: str, value: Any) -> Any:
        """Keep something that was found out, as json holds it; returns it."""
        self._add({"fact": name, "value": value})
        return value

    def fail(self, candidate: Candidate, reason: str) -> None:
        """Keep that a candidate cannot be run."""
        self._add({"failed": candidate.key, "reason": reason})

    def keep(self, candidate: Candidate, ids: Sequence[int], values: Values, seconds: float) -> None:
        """Keep what one batch gave: numbers of every image, and seconds an image."""
        self._add({"candidate": candidate.key, "ids": list(ids), "values": dict(values), "seconds": seconds})

    def candidates(self) -> list[Candidate]:
        """Return all that were run, in the order in which they came."""
        return [Candidate.of(json.loads(key)) for key in self._values]

    def missing(self, candidate: Candidate, ids: Sequence[int]) -> list[int]:
        """Return those images that were not measured yet."""
        known = self._values.get(candidate.key, {})
        return [one for one in ids if one not in known]

    def outcome(self, candidate: Candidate, ids: Sequence[int]) -> Outcome:
        """Return what a candidate gave on images that were measured; seconds are those of the largest batches."""
        known = self._values[candidate.key]
        names = known[ids[0]]
        values = {name: np.array([known[one][name] for one in ids]) for name in names}
        own = [(batch, seconds) for batch, seconds in self._seconds[candidate.key] if set(batch) <= set(ids)]
        largest = max((len(batch) for batch, _ in own), default=0)
        return Outcome(values, [seconds for batch, seconds in own if len(batch) == largest])

    def _add(self, record: dict[str, Any]) -> None:
        self._take(record)
        if self._file is not None:
            self._file.append(record)

    def _take(self, record: dict[str, Any]) -> None:
        form = next((form for key, form in _FORMS.items() if key in record), None)
        if form is None or next(iter(form.problems(record, "")), None) is not None:
            return
        if any(len(numbers) != len(record["ids"]) for numbers in record.get("values", {}).values()):
            return
        if "fact" in record:
            self.facts[record["fact"]] = record["value"]
        elif "failed" in record:
            self.failures[record["failed"]] = record["reason"]
        elif "candidate" in record:
            known = self._values.setdefault(record["candidate"], {})
            for place, one in enumerate(record["ids"]):
                known[one] = {name: numbers[place] for name, numbers in record["values"].items()}
            self._seconds.setdefault(record["candidate"], []).append((tuple(record["ids"]), record["seconds"]))
