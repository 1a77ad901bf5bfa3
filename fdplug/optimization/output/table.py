"""The rows of an answer as a table."""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_uppercase

from fdplug.files.text_tables import plain_table
from fdplug.optimization.answer import Answer
from fdplug.optimization.judging import REFERENCE, Row
from fdplug.optimization.measuring.outcome import Difference


def legend(answer: Answer) -> Iterator[str]:
    """Yield a line for every row of the table: its letter, why it is there, and its settings."""
    for letter, row in zip(ascii_uppercase, answer.rows, strict=False):
        mark = "*" if row is answer.verdict.row else " "
        yield f"{letter}{mark} {', '.join(row.roles)}: {row.candidate.title}"


def table(answer: Answer, width: int | None = None) -> str:
    """Return the table: costs, quality with standard errors, and paired differences to the bar.

    Args:
        answer: what was found.
        width: of the terminal; None for lines of any length.
    """
    return plain_table(*columns(answer), width)


def columns(answer: Answer) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return the head of the table and its rows, as text."""
    scores = [key for key in answer.rows[0].outcome.values if key != "psnr"]
    body = []
    reference = next(row for row in answer.rows if REFERENCE in row.roles)
    for letter, row in zip(ascii_uppercase, answer.rows, strict=False):
        mark = "*" if row is answer.verdict.row else ""
        body.append([f"{letter}{mark}", *_cells(row, reference, answer, scores)])
    return ("", "s/image", "speed", "GFLOPs", "PSNR dB", "- bar", *scores), body


def notes(answer: Answer) -> list[str]:
    """Return what has to be said below the table."""
    count = len(answer.rows[0].outcome.values["psnr"])
    found = [
        f"* taken; {count} held-out prompts. PSNR is the mean over images, to those as it is of the same seeds (equal "
        "images count as 58.9 dB). - bar: its paired difference to the best row of fewer steps. Behind a score: its "
        "paired change. Errors are standard errors."
    ]
    if answer.failures:
        reasons = sorted(set(answer.failures.values()))
        found.append(f"{len(answer.failures)} candidates could not be run, such as by {reasons[0]}")
    return found


def _cells(row: Row, reference: Row, answer: Answer, scores: list[str]) -> list[str]:
    outcome, bar = row.outcome, answer.verdict.bar
    quality = "" if row is reference else f"{outcome.mean('psnr'):.1f} ±{outcome.error('psnr'):.1f}"
    compared = "" if bar is None or row in (bar, reference) else _signed(row.against(bar, "psnr"), 1)
    changes = [
        f"{outcome.mean(key):.3f}" + ("" if row is reference else f" {_signed(row.against(reference, key), 3)}")
        for key in scores
    ]
    speed = f"{reference.outcome.pace / outcome.pace:.2f}x"
    return [f"{outcome.pace:.3g}", speed, f"{row.price.gflops:.4g}", quality, compared, *changes]


def _signed(difference: Difference, digits: int) -> str:
    return f"{difference.value:+.{digits}f} ±{difference.error:.{digits}f}"
