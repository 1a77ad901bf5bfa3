"""The panels of the paper's Figure 3 (for transformers: 11), and principal components; each as PNG and SVG."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import pstdev
from typing import TYPE_CHECKING, Any

from fdplug import checks
from fdplug.analysis.features import Features
from fdplug.analysis.pictures import Principal
from fdplug.analysis.reading import norms_over_steps
from fdplug.denoisers.blocks import HALVES, Block
from fdplug.files.writing import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHADES = {"encoder": ("#9ecae1", "#08306b"), "bottleneck": ("#737373", "#737373"), "decoder": ("#fdbe85", "#a63603")}
ENDINGS: dict[str, dict[str, Any]] = {"png": {"dpi": 130}, "svg": {"metadata": {"Date": None}}}
LINES = 12  # more blocks than this: the legend names the first and last of each half


def check_installed() -> None:
    """Refuse to begin where matplotlib is missing.

    Raises:
        ConfigError: names what to install.
    """
    checks.installed("fdplug analyze", "figures", "matplotlib")


def write(features: Features, folder: Path) -> list[str]:
    """Write every panel; return their names, without endings."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    panels = {
        "mse": _over_steps(features, "mse", "MSE to the step before"),
        "relative": _over_steps(features, "relative", "MSE / mean square of the step before"),
        "fnorm": _boxes(features),
        "fnorm_std": _dots(features),
    }
    if features.ranges.layers:
        panels["ranges"] = _ranges(features)
    if features.pictures is not None and features.pictures.maps:
        panels["pca"] = _pictures(features, features.pictures)
    for name, figure in panels.items():
        FigureCanvasAgg(figure)
        for ending, options in ENDINGS.items():
            content = io.BytesIO()
            figure.savefig(content, format=ending, **options)
            write_bytes(content.getvalue(), folder / f"{name}.{ending}")
    return list(panels)


def _colours(features: Features) -> dict[str, Any]:
    """Return a colour per block: blue in the encoder, grey in the bottleneck, orange in the decoder; darker later."""
    from matplotlib.colors import LinearSegmentedColormap

    found = {}
    for half in HALVES:
        blocks = features.half(half)
        shades = LinearSegmentedColormap.from_list(half, SHADES[half])
        for index, block in enumerate(blocks):
            found[block.name] = shades(index / max(1, len(blocks) - 1))
    return found


def _panel(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _named(features: Features) -> set[str]:
    """The blocks that the legend names."""
    if len(features.blocks) <= LINES:
        return {block.name for block in features.blocks}
    ends = (features.half(half) for half in HALVES)
    return {block.name for blocks in ends if blocks for block in (blocks[0], blocks[-1])}


def _over_steps(features: Features, measure: str, label: str) -> Figure:
    """Figure 3a: the change from step to step, one line per block, mean and spread over rows."""
    title = f"Change of features between adjacent steps ({features.images} images)"
    figure, axes = _panel(8, 4.5, title)
    colours, named = _colours(features), _named(features)
    steps = range(1, len(features.timesteps))
    for block in features.blocks:
        moments = [features.measured[block.name, step, measure] for step in steps]
        mean = [one.mean for one in moments]
        label_or_none = features.labels[block.name] if block.name in named else None
        style = {"encoder": "-", "bottleneck": ":", "decoder": "--"}[block.half]
        axes.plot(steps, mean, style, color=colours[block.name], label=label_or_none, linewidth=1.6)
        low = [max(one.mean - one.std, one.least) for one in moments]
        high = [one.mean + one.std for one in moments]
        if len(features.blocks) <= LINES:
            axes.fill_between(steps, low, high, color=colours[block.name], alpha=0.08, linewidth=0)
    if all(one.mean > 0 for key, one in features.measured.items() if key[2] == measure):
        axes.set_yscale("log")
    axes.set_xlabel("step (0 is the noisiest)")
    axes.set_ylabel(label)
    axes.margins(x=0.01)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9, title="block")
    return figure


def _ranges(features: Features) -> Figure:
    """What enters the linear layers: its range at every step, one line per block."""
    figure, axes = _panel(8, 4.5, f"Range of what enters linear layers ({features.images} images)")
    colours, named = _colours(features), _named(features)
    for block in features.blocks:
        if block.name in features.ranges.layers:
            style = {"encoder": "-", "bottleneck": ":", "decoder": "--"}[block.half]
            label = features.labels[block.name] if block.name in named else None
            shares = features.ranges.over_steps(block.name)
            axes.plot(range(len(shares)), shares, style, color=colours[block.name], label=label, linewidth=1.6)
    axes.set_xlabel("step (0 is the noisiest)")
    axes.set_ylabel("share of the widest, mean over layers")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9, title="block")
    return figure


def _boxes(features: Features) -> Figure:
    """Figures 3b and 11: the norm of the channel mean over the steps, one box per block."""
    figure, axes = _panel(_wide(features), 4, "Frobenius norm of the channel mean, over the steps")
    norms = [norms_over_steps(features, block) for block in features.blocks]
    labels = [features.labels[block.name] for block in features.blocks]
    drawn = axes.boxplot(norms, whis=(0, 100), patch_artist=True, medianprops={"color": "black"}, widths=0.6)
    for box, block in zip(drawn["boxes"], features.blocks, strict=True):
        box.set_facecolor(_colours(features)[block.name])
        box.set_alpha(0.85)
    _name_ticks(axes, range(1, len(labels) + 1), labels)
    if min(map(min, norms)) > 0:
        axes.set_yscale("log")
    axes.set_xlabel("block; boxes are quartiles, whiskers the extremes")
    axes.set_ylabel("F-norm, mean over images")
    return figure


def _dots(features: Features) -> Figure:
    """Figure 3c: the standard deviation of those norms over the steps."""
    figure, axes = _panel(_wide(features), 4, "How much the norm varies over the steps")
    heights = [pstdev(norms_over_steps(features, block)) for block in features.blocks]
    colours = _colours(features)
    axes.scatter(range(len(heights)), heights, s=70, color=[colours[block.name] for block in features.blocks], zorder=3)
    _name_ticks(axes, range(len(heights)), [features.labels[block.name] for block in features.blocks])
    if min(heights) > 0:
        axes.set_yscale("log")
    axes.set_xlabel("block")
    axes.set_ylabel("standard deviation of the F-norm")
    return figure


def _wide(features: Features) -> float:
    return max(6.0, 1.5 + 0.45 * len(features.blocks))


def _name_ticks(axes: Axes, places: Sequence[int], labels: Sequence[str]) -> None:
    axes.set_xticks(places, labels, rotation=45 if len(labels) > LINES else 0, fontsize=9)


def _pictures(features: Features, pictures: Principal) -> Figure:
    """Figures 2 and 10: principal components; blocks down, steps across."""
    from matplotlib.figure import Figure

    blocks = [block for block in features.blocks if block.name in pictures.maps]
    steps = sorted({step for maps in pictures.maps.values() for step in maps})
    figure = Figure(figsize=(1.2 * len(steps) + 1, 1.2 * len(blocks) + 0.7), layout="constrained")
    grid = figure.subplots(len(blocks), len(steps), squeeze=False)
    for axes, block, step in _cells(grid, blocks, steps):
        axes.set_xticks([])
        axes.set_yticks([])
        if step in pictures.maps[block.name]:
            axes.imshow(pictures.maps[block.name][step].numpy(), interpolation="nearest")
        if block is blocks[0]:
            axes.set_title(f"step {step}", fontsize=9)
        if step == steps[0]:
            axes.set_ylabel(features.labels[block.name], fontsize=9)
    figure.suptitle("Principal components of one image's features", fontsize=11)
    return figure


def _cells(grid: Any, blocks: Sequence[Block], steps: Sequence[int]) -> Iterator[tuple[Axes, Block, int]]:
    for row, block in zip(grid, blocks, strict=True):
        for axes, step in zip(row, steps, strict=True):
            yield axes, block, step
