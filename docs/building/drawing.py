"""Draws how a run takes its time: every step computed, features replayed, and spans decoded in one batch.

```bash
python -m docs.building.drawing > docs/images/propagation.svg
```

It is put into the page itself, so that it takes the page's colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

STEPS, KEY_STEPS = 8, (0, 4)
ENCODER, DECODER = 1.0, 1.8  # what they cost, roughly as in Stable Diffusion
BATCH = 0.55  # what a row costs in a batch of four, on hardware that one row does not fill
SECOND = 26  # pixels for a unit of cost
LEFT, TOP, ROW, BOX = 150, 44, 74, 34
DURATION = 8  # seconds of the animation


@dataclass(frozen=True)
class Box:
    """A piece of work in a row.

    Attributes:
        what: `encoder` or `decoder`.
        cost: how long it takes.
        label: the steps that it is for.
    """

    what: str
    cost: float
    label: str


@dataclass(frozen=True)
class Run:
    """One way through the steps, and what it is called."""

    title: str
    note: str
    boxes: Sequence[Box]

    @property
    def cost(self) -> float:
        """How long it takes."""
        return sum(box.cost for box in self.boxes)


def spans() -> Iterator[range]:
    """Yield the steps of every span."""
    for first, after in zip(KEY_STEPS, (*KEY_STEPS[1:], STEPS), strict=True):
        yield range(first, after)


def runs() -> list[Run]:
    """Return the three ways."""
    steps = [[Box("encoder", ENCODER, f"{step}"), Box("decoder", DECODER, f"{step}")] for step in range(STEPS)]
    replayed = [box for pair in steps for box in pair if box.what == "decoder" or int(box.label) in KEY_STEPS]
    batched = [
        box
        for span in spans()
        for box in (
            Box("encoder", ENCODER, f"{span[0]}"),
            Box("decoder", len(span) * DECODER * BATCH, f"{span[0]} to {span[-1]}"),
        )
    ]
    return [
        Run("every step", "as it is", [box for pair in steps for box in pair]),
        Run("key steps", "features replayed", replayed),
        Run("in one batch", "a span at once", batched),
    ]


def drawing() -> str:
    """Return the SVG, without blank lines."""
    rows = runs()
    width = LEFT + round(rows[0].cost * SECOND) + 10
    height = TOP + len(rows) * ROW + 26
    parts = [_head(width, height), *_legend(), *(line for at, run in enumerate(rows) for line in _row(at, run))]
    return "\n".join([*parts, *_clock(width, height, rows[0].cost), "</svg>"]) + "\n"


def _head(width: int, height: int) -> str:
    says = (
        f"Three timelines of {STEPS} steps. Computed at every step, encoder and decoder take turns {STEPS} times. "
        f"With key steps {KEY_STEPS[0]} and {KEY_STEPS[1]} the encoder runs twice. Decoded in one batch, each of the "
        "two spans is one call."
    )
    return f'<svg class="timeline" viewBox="0 0 {width} {height}" role="img" aria-label="{says}">'


def _legend() -> Iterator[str]:
    for at, (what, words) in enumerate(
        (("encoder", "encoder: makes features"), ("decoder", "decoder: makes the prediction"))
    ):
        left = LEFT + at * 210
        yield f'<rect class="{what}" x="{left}" y="8" width="16" height="16" rx="3"/>'
        yield f'<text x="{left + 24}" y="21">{words}</text>'


def _row(at: int, run: Run) -> Iterator[str]:
    top = TOP + at * ROW
    yield f'<text class="title" x="0" y="{top + 16}">{run.title}</text>'
    yield f'<text class="note" x="0" y="{top + 34}">{run.note}</text>'
    left = float(LEFT)
    for box in run.boxes:
        width = box.cost * SECOND
        yield f'<rect class="{box.what}" x="{left:.1f}" y="{top}" width="{width - 2:.1f}" height="{BOX}" rx="3"/>'
        yield f'<text class="step" x="{left + width / 2 - 1:.1f}" y="{top + 22}">{box.label}</text>'
        left += width
    yield from _arrows(run, top)


def _arrows(run: Run, top: int) -> Iterator[str]:
    """Draw from each key step's encoder to the decoders that reuse its features."""
    left, source = float(LEFT), 0.0
    for box in run.boxes:
        middle = left + box.cost * SECOND / 2
        if box.what == "encoder":
            source = middle
        elif run.note != "as it is":
            below = top + BOX
            yield f'<path class="feature" d="M{source:.1f} {below} v12 H{middle:.1f} v-10"/>'
        left += box.cost * SECOND


def _clock(width: int, height: int, cost: float) -> Iterator[str]:
    """Draw a line that goes through the run, and the axis."""
    bottom = height - 22
    yield f'<text class="note" x="{width - 10}" y="{height - 6}" text-anchor="end">time</text>'
    yield f'<line class="axis" x1="{LEFT}" y1="{bottom}" x2="{width - 10}" y2="{bottom}"/>'
    end = LEFT + cost * SECOND
    yield (
        f'<line class="now" y1="{TOP - 8}" y2="{bottom}"><animate attributeName="x1" from="{LEFT}" to="{end:.1f}" '
        f'dur="{DURATION}s" repeatCount="indefinite"/><animate attributeName="x2" from="{LEFT}" to="{end:.1f}" '
        f'dur="{DURATION}s" repeatCount="indefinite"/></line>'
    )


if __name__ == "__main__":
    print(drawing(), end="")
