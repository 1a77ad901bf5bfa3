"""A run drawn as a strip: one cell a step, dark where it is computed."""

from __future__ import annotations

from collections.abc import Collection

WIDTH, HEIGHT, GAP = 12, 22, 2


def strip(steps: int, chosen: Collection[int], says: str) -> str:
    """Return an SVG of a run, which takes the colours of the page.

    Args:
        steps: of the run.
        chosen: the steps that are drawn dark.
        says: the text for those who do not see it.
    """
    width = steps * (WIDTH + GAP)
    cells = "".join(_cell(step, step in chosen) for step in range(steps))
    return (
        f'<div><svg class="strip" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{says}">'
        f"<title>{says}</title>{cells}</svg></div>"
    )


def _cell(step: int, dark: bool) -> str:
    at = step * (WIDTH + GAP)
    return f'<rect x="{at}" width="{WIDTH}" height="{HEIGHT}" class="{"computed" if dark else "replayed"}"/>'
