"""What the tuning experiment found, as a page of Markdown with sentences that follow from the numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from fdplug.files.text_tables import markdown_table

HEAD = (
    "variant",
    "n",
    "PSNR dB",
    "feature distance x1000",
    "semantic accuracy",
    "GFLOPs/image",
    "runs to find",
)
WITHIN = 0.01


def markdown(results: dict[str, Any]) -> str:
    """The table, and what it says."""
    rows, settings = results["rows"], results["settings"]
    title = (
        f"{settings['model']}, {settings['sampler']}, {settings['steps']} steps; tuned on {settings['calibration']}"
        f" captions, judged on {rows[0]['images']} others; PSNR and feature distance to the un-accelerated images of"
        " the same seeds, mean ± standard error over images."
    )
    table = markdown_table(HEAD, [_cells(row) for row in rows])
    said = "\n".join(f"- {sentence}" for sentence in sentences(results))
    return f"{title}\n\n{table}\n\n{said}\n"


def _cells(row: dict[str, Any]) -> list[str]:
    count = row["steps"] if row["keys"] is None else len(row["keys"])
    return [
        row["name"],
        str(count),
        "-" if row["psnr"] is None else _pair(row["image_psnr"], 1, 1),
        _pair(row.get("feature_distance"), 1000, 2),
        _pair(row.get("semantic_accuracy"), 1, 3),
        f"{row['gflops_per_image']:.3g}",
        str(row["runs"]) if row["runs"] else "",
    ]


def _pair(pair: Sequence[float] | None, scale: float, digits: int) -> str:
    return "" if pair is None else f"{scale * pair[0]:.{digits}f} ±{scale * pair[1]:.{digits}f}"


def sentences(results: dict[str, Any]) -> Iterator[str]:
    """What the comparison comes to, each with its paired standard error."""
    rows = {row["name"]: row for row in results["rows"]}
    count = next(len(row["keys"]) for name, row in rows.items() if name.startswith("the paper's"))
    tuned, refined = rows[f"tuned {count}"], rows[f"tuned {count}, refined"]
    rivals = [row for name, row in rows.items() if _is_rival(name, count)]
    for rival in rivals:
        yield f"tuned {count} against {rival['name']}: {_difference(tuned, rival)}."
    yield f"refined against tuned {count}: {_difference(refined, tuned)}."
    yield from _fewest(rows)
    yield from _steps(refined, rows)


def _is_rival(name: str, count: int) -> bool:
    starts = (f"uniform {count}", "the paper's", f"random {count}", "genetic", f"tuned {count}, no response")
    return name.startswith(starts)


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """The paired difference of PSNR, of feature distance and of semantics, each with its standard error."""
    parts = [_paired(one, other, "psnr", 1, "dB")]
    if "features" in one["per_image"]:
        parts.append(_paired(one, other, "features", 1000, "x1000 feature distance"))
        parts.append(_paired(one, other, "semantics", 100, "points of semantic accuracy"))
    return ", ".join(parts)


def _paired(one: dict[str, Any], other: dict[str, Any], key: str, scale: float, unit: str) -> str:
    pairs = zip(one["per_image"][key], other["per_image"][key], strict=True)
    values = [scale * (mine - theirs) for mine, theirs in pairs]
    error = statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.fmean(values):+.2f} ±{error:.2f} {unit}"


def _fewest(rows: dict[str, Any]) -> Iterator[str]:
    """For each method: the fewest key steps from which on semantic accuracy is within a point of the baseline's."""
    if "semantic_difference" not in next(iter(rows.values())):
        return
    for method, ending in (("tuned", ""), ("tuned", ", refined"), ("uniform", "")):
        counts = sorted(
            len(row["keys"])
            for name, row in rows.items()
            if row["keys"] is not None and name == f"{method} {len(row['keys'])}{ending}"
        )
        holding = [count for count in counts if rows[f"{method} {count}{ending}"]["semantic_difference"][0] >= -WITHIN]
        failing = [count for count in counts if count not in holding]
        enough = [count for count in holding if all(count > one for one in failing)]
        name = f"{method}{ending}"
        if not enough:
            yield f"{name}: no number of key steps measured here keeps semantic accuracy within 1 point."
            continue
        difference, error = rows[f"{method} {enough[0]}{ending}"]["semantic_difference"]
        yield (
            f"{name}: {enough[0]} key steps are the fewest, of those measured, from which on semantic accuracy stays"
            f" within 1 point of the baseline ({100 * difference:+.1f} ±{100 * error:.1f} points)."
        )


def _steps(refined: dict[str, Any], rows: dict[str, Any]) -> Iterator[str]:
    for name, row in rows.items():
        if row["keys"] is None and "(" in name:
            wins = "fewer steps win" if (row["psnr"] or math.inf) > refined["psnr"] else "key steps win"
            cheaper = row["gflops_per_image"] / refined["gflops_per_image"]
            yield f"{name}, {cheaper:.2f} times the GFLOPs of {refined['name']}: {_difference(refined, row)}; {wins}."
