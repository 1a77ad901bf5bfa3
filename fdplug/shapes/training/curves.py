"""The loss curves of a training log as one picture."""

from __future__ import annotations

from pathlib import Path

from fdplug.shapes.training.log import read


def draw_curves(log: Path, picture: Path) -> None:
    """Plot the loss of every stage against its steps, one panel per stage, into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [line for line in read(log) if "loss" in line]
    stages = list(dict.fromkeys(str(line["stage"]) for line in lines))
    figure = Figure(figsize=(3 * len(stages), 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    for stage, axes in zip(stages, figure.subplots(1, len(stages), squeeze=False)[0], strict=True):
        points = [(line["step"], line["loss"]) for line in lines if line["stage"] == stage]
        axes.semilogy(*zip(*points, strict=True))
        axes.set(title=stage, xlabel="step")
    figure.savefig(picture, dpi=90, metadata={"Software": None})
