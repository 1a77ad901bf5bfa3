"""The rows of an answer as a table."""

from __future__ import annotations

from rich.table import Table

from fdplug.optimization.answer import Answer
from fdplug.optimization.judging import REFERENCE, Row
from fdplug.optimization.measuring.outcome import Difference


def table(answer: Answer) -> Table:
    """Return the table: costs, quality with standard errors, and paired differences to the bar."""
    scores = [key for key in answer.rows[0].outcome.values if key != "psnr"]
    shown = Table(
        "", "settings", "s/image", "speed", "GFLOPs", "PSNR dB", *scores, "PSNR against bar", box=None, pad_edge=False
    )
    reference = next(row for row in answer.rows if REFERENCE in row.roles)
    for row in answer.rows:
        marks = "*" if row is answer.verdict.row else ""
        shown.add_row(f"{', '.join(row.roles)}{marks}", row.candidate.title, *_cells(row, reference, answer, scores))
    return shown


def notes(answer: Answer) -> list[str]:
    """Return what has to be said below the table."""
    count = len(answer.rows[0].outcome.values["psnr"])
    found = [
        f"* taken. {count} held-out prompts; PSNR: mean over images, to those of the settings as they are of the same "
        "seeds (equal images count as 58.9 dB). Behind a score: its paired change. Errors are standard errors.",
    ]
    if answer.failures:
        reasons = sorted(set(answer.failures.values()))
        found.append(f"{len(answer.failures)} candidates could not be run, such as by {reasons[0]}")
    return found


def _cells(row: Row, reference: Row, answer: Answer, scores: list[str]) -> list[str]:
    outcome, bar = row.outcome, answer.verdict.bar
    quality = "" if row is reference else f"{outcome.mean('psnr'):.1f} ±{outcome.error('psnr'):.1f}"
    changes = [
        f"{outcome.mean(key):.3f}" + ("" if row is reference else f" ({_signed(row.against(reference, key))})")
        for key in scores
    ]
    compared = bar is not None and row not in (bar, reference)
    return [
        f"{outcome.pace:.3g}",
        f"{reference.outcome.pace / outcome.pace:.2f}x",
        f"{row.price.gflops:.4g}",
        quality,
        *changes,
        _signed(row.against(bar, "psnr")) if compared and bar is not None else "",
    ]


def _signed(difference: Difference) -> str:
    return f"{difference.value:+.3f} ±{difference.error:.3f}"
