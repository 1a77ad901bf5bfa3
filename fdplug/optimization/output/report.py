"""The page about a search: quality against seconds, the verdict, and pictures of the rows that were judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import yaml
from PIL import Image

from fdplug.files.writing import write_text
from fdplug.optimization.answer import Answer
from fdplug.optimization.budget import Budget
from fdplug.optimization.judging import REFERENCE, Row
from fdplug.optimization.measuring.outcome import Outcome
from fdplug.optimization.output.table import columns, notes
from fdplug.optimization.request import Request
from fdplug.profiling.provenance import summary
from fdplug.report import page
from fdplug.report.pictures import Album

if TYPE_CHECKING:
    from fdplug.optimization.measuring.workbench import Workbench

REPORT = "report.html"
PICTURES = 4
"""Held-out prompts whose pictures are shown."""
SIDE = 384
"""Pixels to which larger pictures are reduced."""


@dataclass(frozen=True)
class Found:
    """What a search found, and with what.

    Attributes:
        bench: what has run the candidates.
        request: what was looked for.
        answer: what was found.
    """

    bench: Workbench
    request: Request
    answer: Answer

    @property
    def reference(self) -> Row:
        """The user's own settings on held-out prompts."""
        return next(row for row in self.answer.rows if REFERENCE in row.roles)


def page_name(budget: Budget | None = None) -> str:
    """Return the name of the page about one budget of several, or about the only one."""
    return REPORT if budget is None else f"report-{file_word(budget)}.html"


def file_word(budget: Budget) -> str:
    """Return a budget as a part of a file's name."""
    return budget.text.replace("=", "-")


def write_report(path: Path, found: Found) -> Path:
    """Write the page about a search; returns its path."""
    write_text(page.front(context(found)), path)
    return path


def context(found: Found) -> dict[str, Any]:
    """Return everything that the template of the page names."""
    answer, request = found.answer, found.request
    circumstances = answer.preset.circumstances
    head, body = columns(answer)
    album = Album(SIDE)
    return {
        "title": f"{request.model or type(found.bench.pipe).__name__}: the best settings for {request.budget.text}",
        "created": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": summary(circumstances["hardware"]),
        "version": circumstances["versions"]["fdplug"],
        "line": answer.line,
        "head": head,
        "rows": [_row(letter, row, cells, answer) for letter, row, cells in _lettered(answer, body)],
        "notes": notes(answer),
        "pictures": _pictures(found, album),
        "pixelated": not album.reduced,
        "preset": yaml.safe_dump(answer.preset.described(), sort_keys=False, allow_unicode=True, width=100),
        "model_card": answer.preset.model_card,
        "facts": _facts(circumstances),
        "failures": sorted(set(answer.failures.values())),
        "data": {"front": front(found)},
    }


def _lettered(answer: Answer, body: Sequence[Sequence[str]]) -> Sequence[tuple[str, Row, Sequence[str]]]:
    return list(zip(ascii_uppercase, answer.rows, body, strict=False))


def _row(letter: str, row: Row, cells: Sequence[str], answer: Answer) -> dict[str, Any]:
    return {
        "letter": letter,
        "roles": ", ".join(row.roles),
        "title": row.candidate.title,
        "taken": row is answer.verdict.row,
        "cells": cells[1:],
    }


def front(found: Found) -> dict[str, Any]:
    """Return the points of the chart: every candidate on calibration prompts, the judged ones on held-out prompts."""
    keys = list(found.answer.rows[0].outcome.values)
    reference = found.reference
    judged = zip(ascii_uppercase, found.answer.rows, strict=False)
    return {
        "qualities": [{"key": key, "title": "PSNR, dB" if key == "psnr" else key} for key in keys],
        "points": _searched(found),
        "judged": [
            {"letter": letter, **_point(row.candidate, row.outcome, len(row.outcome.values[keys[0]]))}
            for letter, row in judged
            if row is not reference
        ],
        "reference": reference.outcome.pace,
        "budget": _budget(found.request.budget, reference),
    }


def _searched(found: Found) -> list[dict[str, Any]]:
    """Return every candidate but the reference on the calibration prompts that it was run on."""
    records, points = found.bench.records, []
    ids = [one.image_id for one in found.request.calibration]
    for candidate in records.candidates():
        missing = set(records.missing(candidate, ids))
        known = [one for one in ids if one not in missing]
        if known and candidate.key != found.reference.candidate.key:
            point = _point(candidate, records.outcome(candidate, known), len(known))
            points.append({**point, "whole": not missing})
    return points


def _point(candidate: Any, outcome: Outcome, images: int) -> dict[str, Any]:
    return {
        "name": candidate.title,
        "propagated": candidate.propagation is not None,
        "seconds": outcome.pace,
        "images": images,
        "values": {key: outcome.mean(key) for key in outcome.values},
        "errors": {key: outcome.error(key) for key in outcome.values if images > 1},
    }


def _budget(budget: Budget, reference: Row) -> dict[str, Any] | None:
    """Return the line of a budget that the chart can show: of seconds, or of PSNR."""
    if budget.quantity == "psnr":
        return {"text": budget.text, "psnr": budget.amount}
    if budget.quantity in ("seconds", "times"):
        seconds = budget.amount if budget.quantity == "seconds" else reference.outcome.pace / budget.amount
        return {"text": budget.text, "seconds": seconds}
    return None


def _pictures(found: Found, album: Album) -> list[dict[str, Any]]:
    """Return the pictures of the judged rows, prompt by prompt, the user's own settings first."""
    captions = found.request.held_out[:PICTURES]
    rows = [(letter, row) for letter, row in zip(ascii_uppercase, found.answer.rows, strict=False)]
    images = {letter: found.bench.pictures(row.candidate, captions) for letter, row in rows}
    shown = []
    for place, caption in enumerate(captions):
        pictures = []
        for letter, row in rows:
            picture = Image.fromarray(images[letter][place].permute(1, 2, 0).numpy())
            key = album.put(f"{letter}{place}", picture)
            note = "" if row is found.reference else f"{row.outcome.values['psnr'][place]:.1f} dB"
            pictures.append({"letter": letter, "uri": album.uris[key], "note": note, "title": row.candidate.title})
        shown.append({"caption": caption.text, "pictures": pictures})
    return shown


def _facts(circumstances: Mapping[str, Any]) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in circumstances["versions"].items() if version)
    return [
        ("hardware", summary(circumstances["hardware"])),
        ("versions", versions),
        ("prompts", f"{circumstances['calibration']} searched on, {circumstances['held_out']} judged on"),
        ("batch size", str(circumstances["batch_size"])),
        ("seed", str(circumstances["seed"])),
        ("search", f"{circumstances['search_seconds']} s, {circumstances['images_generated']} images"),
    ]
