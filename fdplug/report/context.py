"""What the report says, section by section, from what the comparison measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fdplug.errors.wording import number_of
from fdplug.predict.comparison.table import Column, shown
from fdplug.profiling.provenance import summary
from fdplug.report.charts import quality_against_cost
from fdplug.report.folder import Compared
from fdplug.report.page import finite
from fdplug.report.running_costs import FORMULAS, Rates, costs
from fdplug.report.timeline import timeline
from fdplug.report.verdict import verdict

SECTIONS = {
    "verdict": "Verdict",
    "table": "Variants",
    "pareto": "Quality against cost",
    "pictures": "Pictures",
    "steps": "Key steps",
    "drift": "How features change",
    "costs": "Cost of 10,000 images",
    "published": "Published figures",
    "votes": "Blind votes",
    "provenance": "Provenance",
}
HALVES = ("encoder", "bottleneck", "decoder")
SMALLEST = 0.001
GUIDE = "https://fdplug.github.io/fdplug/latest/report/"


def context(compared: Compared, pictures: Mapping[str, Any], rates: Rates, study: Any, **extra: Any) -> dict[str, Any]:
    """Everything that the template of the report names.

    Args:
        compared: the comparison.
        pictures: what `gallery.gallery` returns.
        rates: assumptions of the costs.
        study: the pairs of the voting page, None if there is none.
        extra: `votes` (a table of tallies) and `analysis` (figures with `name` and `uri`).
    """
    results, settings = compared.results, compared.results["settings"]
    drift, analysis = results.get("drift"), extra.get("analysis") or []
    hidden = {
        name for name, there in (("drift", drift or analysis), ("published", results.get("published"))) if not there
    }
    return {
        "title": f"{settings['model']}: {len(compared.rows)} variants, {len(compared.captions)} captions",
        "created": results["created"],
        "machine": summary(results["hardware"]),
        "version": results["versions"].get("fdplug"),
        "folder": str(compared.folder),
        "digest": compared.digest,
        "sections": [(anchor, name) for anchor, name in SECTIONS.items() if anchor not in hidden],
        "verdict": verdict(compared.rows),
        "guide": GUIDE,
        "readings": results.get("equal_time", []),
        "warnings": results.get("warnings", []),
        "notes": results.get("notes", []),
        **_table(compared.rows),
        "timelines": [timeline(row) for row in compared.rows],
        "drift": _drift(drift),
        "analysis": analysis,
        "formulas": FORMULAS,
        "rates": rates,
        "costs": costs(compared.rows, rates),
        "published": results.get("published"),
        "study": None if study is None else {"pairs": len(study.pairs)},
        "votes": _votes(extra.get("votes")),
        "pictures_note": pictures["note"],
        "facts": _facts(compared),
        "settings": json.dumps(settings, indent=2, ensure_ascii=False),
        "data": {"pareto": quality_against_cost(compared.rows), "pictures": pictures, "drift": drift},
    }


def _table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    columns = sorted(shown(rows), key=_place)
    with_errors = [column.title for column in columns if any(row.get(f"{column.key}_se") is not None for row in rows)]
    return {
        "columns": columns,
        "table": [
            {
                "propagated": row["propagate"] is not None,
                "cells": [{"text": _text(row, column), "value": _value(row, column.key)} for column in columns],
            }
            for row in rows
        ],
        "error_note": f"± is a standard error ({', '.join(with_errors)})." if with_errors else "",
    }


def _place(column: Column) -> int:
    """Return where a column stands: what a variant is called, how much faster it is, how good; then all else."""
    if column.key in ("name", "speedup"):
        return 0 if column.key == "name" else 1
    return 2 if column.number and column.number.headline else 3


def _text(row: dict[str, Any], column: Column) -> str:
    """A cell's text, with its standard error if it has one that the text does not say."""
    text, error = column.text(row), row.get(f"{column.key}_se")
    return text if error is None or "±" in text else f"{text} ±{_error(error)}"


def _error(error: float) -> str:
    """Two digits of an error, without powers of ten."""
    if 0 < error < SMALLEST:
        return f"<{SMALLEST}"
    return f"{error:.2g}" if error < 100 else f"{error:.0f}"


def _value(row: Mapping[str, Any], key: str) -> Any:
    return finite(float("inf") if key == "psnr" and row.get("identical") else row.get(key))


def _drift(drift: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if drift is None:
        return None
    present = {block["half"] for block in drift["blocks"]}
    return {"note": drift["note"], "halves": [half for half in HALVES if half in present]}


def _votes(table: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if table is None:
        return None
    cells = [
        [{"text": text, "value": finite(value)} for text, value in zip(texts, values, strict=True)]
        for texts, values in zip(table["body"], table["values"], strict=True)
    ]
    return {"note": f"{table['title']}. {' '.join(table['notes'])}", "head": table["head"], "body": cells}


def _facts(compared: Compared) -> Sequence[tuple[str, str]]:
    results, settings = compared.results, compared.results["settings"]
    rounds, batch = settings.get("timed_rounds"), settings.get("timed_batch")
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items() if version)
    hashes = [(f"{name} (hash)", str(value)) for name, value in results.get("hashes", {}).items()]
    keys = ("pipeline", "dtype", "guidance", "size", "seed", "image_seeds", "annotations", "images_per_variant")
    chosen = [(key.replace("_", " "), str(settings[key])) for key in keys if settings.get(key) is not None]
    return [
        ("model", str(settings["model"])),
        *chosen,
        ("timing", f"median of {number_of(rounds, 'timed round')} of {number_of(batch, 'image')}"),
        ("created", str(results["created"])),
        ("hardware", f"{summary(results['hardware'])}, {results['hardware'].get('system')}"),
        ("versions", versions),
        *hashes,
        ("results.json (SHA-256)", compared.digest),
    ]
