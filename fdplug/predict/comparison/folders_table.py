"""The table of `fdplug evaluate`."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from fdplug.predict.comparison.table import print_texts

TITLES = {
    "fid": ("FID", 2),
    "inception_score": ("Inception score", 2),
    "precision": ("precision", 3),
    "recall": ("recall", 3),
    "clip_score": ("CLIP score", 2),
    "clip_score_change": ("CLIP score change", 3),
    "shapes_fd": ("shapes-FD x1000", 1),
    "shapes_clip": ("shapes-CLIP", 3),
    "shapes_clip_change": ("shapes-CLIP change", 4),
    "semantic_accuracy": ("semantic accuracy", 3),
    "semantic_accuracy_change": ("semantic accuracy change", 3),
    "texture_distance_db": ("texture dB", 2),
    "texture_distance_db_change": ("texture change dB", 3),
    "psnr": ("PSNR dB", 2),
    "ssim": ("SSIM", 4),
    "lpips": ("LPIPS", 4),
    "seconds_per_image": ("s/image", 3),
    "ftc": ("FTC", 3),
}


def print_table(rows: list[dict[str, Any]], console: Console) -> None:
    """Print one row per folder, with standard errors where there are some, in one piece also on a narrow terminal."""
    keys = [key for key in TITLES if any(key in row for row in rows)]
    head = ["images", "count", *(TITLES[key][0] for key in keys)]
    body = [[row["name"], str(row["count"]), *(cell(row, key) for key in keys)] for row in rows]
    print_texts({"head": head, "body": body}, console)


def cell(row: dict[str, Any], key: str) -> str:
    """A number with its standard error; `-` if there is none, and `equal` where every pixel is."""
    value, error, digits = row.get(key), row.get(f"{key}_se"), TITLES[key][1]
    if value is None:
        return "equal" if key == "psnr" and row.get("identical") else "-"
    return f"{value:.{digits}f}" if error is None else f"{value:.{digits}f} ±{error:.{digits}f}"
