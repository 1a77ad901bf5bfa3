"""Prompts of plain files: one per line, or one per record in a column of jsonl, csv, tsv or parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fdplug import checks
from fdplug.errors import DataError, one_line
from fdplug.predict.data.caption_text import problem_of
from fdplug.predict.data.captions import LARGEST_ID, Caption

Record = tuple[str, dict[str, Any]]
PARTI_COLUMNS = ("Prompt", "Category", "Challenge", "Note")
LONGEST_FIELD = 1 << 24


def read_prompts(path: str | Path, column: str = "prompt", id_column: str | None = None) -> list[Caption]:
    """The prompts of a file, in its order.

    Args:
        path: `.txt` (one prompt per line, empty lines do not count), `.jsonl`, `.csv`, `.tsv` or `.parquet`.
        column: Where the prompts stand, except in `.txt`.
        id_column: Where ids stand; without it prompts are numbered from 0.

    Raises:
        DataError: The file cannot be read, or a record is not as it should be.
        ConfigError: Parquet is asked for and pyarrow is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise DataError(f"{path}: prompts are read from {', '.join(READERS)} files; rename or convert it.")
    column = "prompt" if suffix == ".txt" else column
    return list(_captions(path, _read(path, READERS[suffix]), column, id_column))


def read_parti(path: str | Path, category: str | None = None, challenge: str | None = None) -> list[Caption]:
    """The prompts of google-research/parti's `PartiPrompts.tsv`; an id is the number of the row, from 0.

    Args:
        path: The tsv file, with the columns Prompt, Category, Challenge and Note.
        category: Only prompts of this category.
        challenge: Only prompts of this challenge.

    Raises:
        DataError: The file cannot be read, a column is missing, or no prompt is of this kind.
    """
    path = Path(path)
    records = list(_read(path, _separated("\t")))
    for place, record in records[:1]:
        missing = [name for name in PARTI_COLUMNS if name not in record]
        if missing:
            raise DataError(f"{path}: {place}: no column {', '.join(missing)}; found {_listed(record)}.")
    wanted = {"Category": category, "Challenge": challenge}
    for key, value in wanted.items():
        known = sorted({str(record[key]) for _, record in records})
        if value is not None and value not in known:
            raise DataError(f"{path}: no {key.lower()} '{value}'; it has {', '.join(known)}.")
    captions = _captions(path, iter(records), "Prompt", None)
    chosen = [
        caption
        for caption, (_, record) in zip(captions, records, strict=True)
        if all(value in (None, record[key]) for key, value in wanted.items())
    ]
    if not chosen:
        raise DataError(f"{path}: no prompt has both category '{category}' and challenge '{challenge}'.")
    return chosen


def _captions(path: Path, records: Iterator[Record], column: str, id_column: str | None) -> Iterator[Caption]:
    places: dict[int, str] = {}
    for number, (place, record) in enumerate(records):
        for name in filter(None, (column, id_column)):
            if name not in record:
                raise DataError(f"{path}: {place}: no column '{name}'; found {_listed(record)}. Name another.")
        if problem := problem_of(record[column]):
            raise DataError(f"{path}: {place}: '{column}' {problem}.")
        identifier = number if id_column is None else _identifier(path, place, id_column, record[id_column])
        if identifier in places:
            raise DataError(f"{path}: {place}: the id {identifier} appears twice, first in {places[identifier]}.")
        places[identifier] = place
        yield Caption(identifier, record[column].strip())
    if not places:
        raise DataError(f"{path} holds no prompts.")


def _identifier(path: Path, place: str, column: str, value: Any) -> int:
    digits = str(value)
    if isinstance(value, bool) or not digits.isascii() or not digits.isdigit() or int(digits) > LARGEST_ID:
        raise DataError(f"{path}: {place}: '{column}' is {value!r:.60}, a non-negative whole number is needed.")
    return int(digits)


def _listed(record: dict[str, Any]) -> str:
    return ", ".join(str(name)[:40] for name in list(record)[:20]) or "none"


def _read(path: Path, reader: Callable[[Path], Iterator[Record]]) -> Iterator[Record]:
    try:
        yield from reader(path)
    except OSError as error:
        raise DataError(f"cannot read the prompt file {path}: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as {path.suffix[1:]} in UTF-8: {error}.") from error


def _lines(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"line {number}", {"prompt": line}


def _json_lines(path: Path) -> Iterator[Record]:
    for place, record in _lines(path):
        try:
            value = json.loads(record["prompt"])
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: {place} is not valid json: {error}.") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}: {place} is a {type(value).__name__}, an object is needed.")
        yield place, value


def _separated(delimiter: str) -> Callable[[Path], Iterator[Record]]:
    def read(path: Path) -> Iterator[Record]:
        csv.field_size_limit(LONGEST_FIELD)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            for record in reader:
                place = f"line {reader.line_num}"
                if None in record:
                    raise DataError(f"{path}: {place} has more fields than the header; quote what holds a separator.")
                yield place, {key: value for key, value in record.items() if value is not None}

    return read


def _parquet(path: Path) -> Iterator[Record]:
    checks.installed(f"{path}: parquet", "parquet", "pyarrow")
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for record in batch.to_pylist():
                    yield f"row {number}", record
                    number += 1
    except ArrowException as error:
        raise DataError(f"{path} cannot be read as parquet: {one_line(error, 160)}.") from error


READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".txt": _lines,
    ".jsonl": _json_lines,
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".parquet": _parquet,
}
