"""Prompts of plain files: one per line, or one per record in a column of jsonl, csv, tsv or parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fdplug import checks
from fdplug.errors import DataError
from fdplug.errors.wording import shown
from fdplug.files.json_text import parse_json
from fdplug.files.limits import is_whole
from fdplug.files.schema import kind
from fdplug.files.source import MEGABYTE, Source
from fdplug.files.tables import read_csv, read_tsv
from fdplug.predict.data.caption_text import problem_of
from fdplug.predict.data.captions import LARGEST_ID, Caption

Record = tuple[str, dict[str, Any]]
PARTI_COLUMNS = ("Prompt", "Category", "Challenge", "Note")
PARTI_NEEDED = PARTI_COLUMNS[:3]  # many have no note, and editors strip the tab before it
MOST = 512 * MEGABYTE


def read_prompts(
    path: str | Path,
    column: str = "prompt",
    id_column: str | None = None,
    inputs: Mapping[str, str] = MappingProxyType({}),
) -> list[Caption]:
    """The prompts of a file, in its order.

    Args:
        path: `.txt` (one prompt per line, empty lines do not count), `.jsonl`, `.csv`, `.tsv` or `.parquet`.
        column: where the prompts stand, except in `.txt`.
        id_column: where ids stand; without it prompts are numbered from 0.
        inputs: the columns of pictures to begin from, by the argument that takes them; paths are relative to the file.

    Raises:
        DataError: the file cannot be read, or a record is not as it should be.
        ConfigError: parquet is asked for and pyarrow is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise DataError(f"{path}: prompts are read from {', '.join(READERS)} files; rename or convert it")
    column = "prompt" if suffix == ".txt" else column
    return list(_captions(path, READERS[suffix](_source(path)), column, id_column, inputs))


def read_parti(path: str | Path, category: str | None = None, challenge: str | None = None) -> list[Caption]:
    """The prompts of google-research/parti's `PartiPrompts.tsv`; an id is the number of the row, from 0.

    Args:
        path: the tsv file, with the columns Prompt, Category, Challenge and Note.
        category: only prompts of this category.
        challenge: only prompts of this challenge.

    Raises:
        DataError: the file cannot be read, a column is missing, or no prompt is of this kind.
    """
    path = Path(path)
    records = list(read_tsv(_source(path)))
    for place, record in records:
        missing = [name for name in PARTI_NEEDED if name not in record]
        if missing:
            raise DataError(
                f"{path}: {place} has no {', '.join(missing)}, only {_listed(record)}; give google-research/parti's"
                f" PartiPrompts.tsv, with the columns {', '.join(PARTI_COLUMNS)}"
            )
    wanted = {"Category": category, "Challenge": challenge}
    for key, value in wanted.items():
        known = sorted({str(record[key]) for _, record in records})
        if value is not None and value not in known:
            raise DataError(f"{path}: no {key.lower()} '{value}'; it has {', '.join(known)}")
    captions = _captions(path, iter(records), "Prompt", None)
    chosen = [
        caption
        for caption, (_, record) in zip(captions, records, strict=True)
        if all(value in (None, record[key]) for key, value in wanted.items())
    ]
    if not chosen:
        raise DataError(f"{path}: no prompt has both category '{category}' and challenge '{challenge}'")
    return chosen


def _captions(
    path: Path,
    records: Iterator[Record],
    column: str,
    id_column: str | None,
    inputs: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Caption]:
    places: dict[int, str] = {}
    for number, (place, record) in enumerate(records):
        for name in filter(None, (column, id_column, *inputs.values())):
            if name not in record:
                raise DataError(f"{path}: {place}: no column '{name}'; found {_listed(record)}. Name another")
        if problem := problem_of(record[column]):
            raise DataError(f"{path}: {place}: '{column}' {problem}")
        identifier = number if id_column is None else _identifier(path, place, id_column, record[id_column])
        if identifier in places:
            raise DataError(f"{path}: {place}: the id {identifier} appears twice, first in {places[identifier]}")
        places[identifier] = place
        pictures = tuple((name, _picture(path, place, one, record[one])) for name, one in inputs.items())
        yield Caption(identifier, record[column].strip(), inputs=pictures)
    if not places:
        raise DataError(f"{path} holds no prompts; give a file with at least one")


def _identifier(path: Path, place: str, column: str, value: Any) -> int:
    if not is_whole(value, LARGEST_ID):
        raise DataError(f"{path}: {place}: '{column}' is {shown(value)}, a non-negative whole number is needed")
    return int(value)


def _picture(path: Path, place: str, column: str, value: Any) -> str:
    file = path.parent / value if isinstance(value, str) and value.strip() else None
    if file is None or not file.is_file():
        raise DataError(f"{path}: {place}: '{column}' is {shown(value)}, the file of a picture is needed")
    return str(file)


def _listed(record: dict[str, Any]) -> str:
    return ", ".join(str(name)[:40] for name in list(record)[:20]) or "none"


def _source(path: Path) -> Source:
    remedy = f"prompts are read from {', '.join(READERS)} files in UTF-8"
    return Source(path, "prompt file", remedy, limit=MOST)


def _lines(source: Source) -> Iterator[Record]:
    for number, line in enumerate(source.lines(), 1):
        if line.strip():
            yield f"line {number}", {"prompt": line}


def _json_lines(source: Source) -> Iterator[Record]:
    for place, record in _lines(source):
        try:
            value = parse_json(record["prompt"])
        except ValueError as error:
            raise source.refused(f"{place} is not valid json: {error}") from error
        if not isinstance(value, dict):
            raise source.refused(f"{place} is {kind(value)}, an object is needed")
        yield place, value


def _parquet(source: Source) -> Iterator[Record]:
    checks.installed(f"{source.name}: parquet", "parquet", "pyarrow")
    import pyarrow
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(pyarrow.BufferReader(source.read())) as file:
            number = 0
            for batch in file.iter_batches():
                for record in batch.to_pylist():
                    yield f"row {number}", record
                    number += 1
    except (ArrowException, ValueError, NotImplementedError) as error:
        raise source.refused(f"it cannot be read as parquet: {error}") from error


READERS: dict[str, Callable[[Source], Iterator[Record]]] = {
    ".txt": _lines,
    ".jsonl": _json_lines,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": _parquet,
}
