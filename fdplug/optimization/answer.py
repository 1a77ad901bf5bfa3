"""The answer of a search: one line, a table, and a preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fdplug.optimization.judging import BAR, REFERENCE, Row, Verdict
from fdplug.optimization.measuring.outcome import Difference
from fdplug.presets.preset import Chosen, MadeFor, Preset, distributions


@dataclass(frozen=True)
class Answer:
    """What a search found.

    Attributes:
        line: what to take, in one line.
        preset: the same with everything that belongs to it; `preset.save("fast.yaml")` writes it.
        verdict: how it was decided.
        rows: the reference, the bar and the best of the search, on held-out prompts.
        failures: candidates that could not be run, with the reason.
    """

    line: str
    preset: Preset
    verdict: Verdict
    rows: tuple[Row, ...]
    failures: Mapping[str, str]

    def figures(self) -> list[dict[str, Any]]:
        """Return the rows as json holds them."""
        reference = _reference(self.rows)
        return [_figures(row, reference, self.verdict.bar) for row in self.rows]


def answered(
    verdict: Verdict, rows: Sequence[Row], made_for: MadeFor, told: Mapping[str, Any], failures: Mapping[str, str]
) -> Answer:
    """Return the answer.

    Args:
        verdict: what is to be taken.
        rows: all that was judged.
        made_for: what the preset is for.
        told: `guidance`, `timesteps` of the row that is taken, `budget`, and `circumstances` of the measurement.
        failures: candidates that could not be run.
    """
    row, reference = verdict.row, _reference(rows)
    line = f"take {row.candidate.title}: {_quality(row, reference)}; {verdict.reason}"
    if verdict.bar is not None and verdict.beats:
        line += f" ({verdict.bar.candidate.title}: {_quality(verdict.bar, reference)})"
    reason = verdict.reason
    if verdict.late > 1:
        late = f"; on held-out prompts it took {verdict.late:.2f} times the seconds of the budget {told['budget']}"
        line, reason = line + late, reason + late
    settings = Chosen(
        sampler=row.candidate.sampler,
        steps=row.candidate.steps,
        timesteps=told["timesteps"],
        guidance=told["guidance"],
        propagation=row.candidate.propagation,
    )
    preset = Preset(
        about=f"{row.candidate.title}, for budget {told['budget']}",
        settings=settings,
        made_for=made_for,
        plugins=distributions(settings),
        figures={"verdict": reason, "rows": [_figures(one, reference, verdict.bar) for one in rows]},
        circumstances=told["circumstances"],
        model_card=_model_card(row, reference, told["circumstances"]),
    )
    return Answer(line, preset, verdict, tuple(rows), failures)


def _reference(rows: Sequence[Row]) -> Row:
    return next(row for row in rows if REFERENCE in row.roles)


def _quality(row: Row, reference: Row) -> str:
    """Return the figures of a row in a few words."""
    speed = reference.outcome.pace / row.outcome.pace
    return f"{row.outcome.mean('psnr'):.1f} dB, {row.outcome.pace:.3g} s an image ({speed:.2f}x)"


def _figures(row: Row, reference: Row, bar: Row | None) -> dict[str, Any]:
    outcome = row.outcome
    found: dict[str, Any] = {
        "roles": list(row.roles),
        "settings": row.candidate.title,
        **row.candidate.described(),
        "seconds": _short(outcome.pace),
        "speedup": _short(reference.outcome.pace / outcome.pace),
        "gflops": _short(row.price.gflops),
        "calls": _short(row.price.calls),
    }
    for key in outcome.values:
        found[key] = _short(outcome.mean(key))
        found[f"{key}_error"] = _short(outcome.error(key))
        if key != "psnr" and row is not reference:
            found[f"{key}_change"] = _held(row.against(reference, key))
        if bar is not None and row is not bar and BAR not in row.roles and row is not reference:
            found[f"{key}_against_bar"] = _held(row.against(bar, key))
    return found


def _held(difference: Difference) -> dict[str, float]:
    return {"difference": _short(difference.value), "error": _short(difference.error)}


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _model_card(row: Row, reference: Row, circumstances: Mapping[str, Any]) -> str:
    changes = [
        f"{key} {row.outcome.mean(key):.3g} ({row.against(reference, key).value:+.2g} "
        f"±{row.against(reference, key).error:.2g} against the original settings)"
        for key in row.outcome.values
        if key != "psnr"
    ]
    judged = "; ".join([f"PSNR to them {row.outcome.mean('psnr'):.1f} ±{row.outcome.error('psnr'):.1f} dB", *changes])
    return (
        f"Images are generated with {row.candidate.title}, chosen by fdplug {circumstances['versions']['fdplug']} "
        f"instead of {reference.candidate.title}: {reference.outcome.pace / row.outcome.pace:.2f} times as fast on "
        f"{circumstances['hardware']['cpu'] or circumstances['hardware']['device']}. The images differ a little: on "
        f"{circumstances['held_out']} held-out prompts, of the same seeds, {judged}."
    )
