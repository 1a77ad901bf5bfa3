"""What a table does not say by itself, in sentences."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

SCORES = (
    ("semantic_accuracy", "semantic accuracy", "{:.3f}"),
    ("texture_distance_db", "texture distance", "{:.2f} dB"),
    ("shapes_fd", "shapes-FD x1000", "{:.1f}"),
    ("fid", "FID", "{:.2f}"),
    ("clip_score", "CLIP score", "{:.2f}"),
    ("psnr", "PSNR", "{:.1f} dB"),
)


def equal_time(rows: list[Row]) -> list[tuple[Row, Row]]:
    """For every propagated row the un-accelerated one to choose instead: the slowest that takes no longer."""
    plain = [row for row in rows if row["propagate"] is None]
    pairs = []
    for row in rows:
        cheaper = [other for other in plain if other["seconds_per_image"] <= row["seconds_per_image"]]
        same_sampler = [other for other in cheaper if other["sampler"] == row["sampler"]] or cheaper
        if row["propagate"] is not None and same_sampler:
            pairs.append((row, max(same_sampler, key=lambda other: other["seconds_per_image"])))
    return pairs


def equal_time_sentences(rows: list[Row]) -> list[str]:
    """How propagation compares with just taking fewer steps in no more time."""
    return [_sentence(*pair) for pair in equal_time(rows)]


def _sentence(row: Row, other: Row) -> str:
    times = f"{other['seconds_per_image']:.3g} against {row['seconds_per_image']:.3g} s/image"
    same = row["compared_with"] == other["compared_with"]
    scores = [
        f"{label} {form.format(other[key])} against {form.format(row[key])}"
        for key, label, form in SCORES
        if row.get(key) is not None and other.get(key) is not None and (key != "psnr" or same)
    ]
    return (
        f"In no more time than {row['name']}, {other['name']} ({times}): {'; '.join(scores) or 'no score to compare'}."
    )


def explanations(rows: list[Row], settings: dict[str, Any]) -> list[str]:
    """What the columns mean."""
    lines = [
        "PSNR (of the squared error over all images), SSIM and speed-up: against the un-accelerated images of the same"
        " sampler, captions and seeds; with fewer steps, against those of the most steps.",
        "GFLOPs count a multiply-add once, over all denoiser calls, guidance included. Seconds are those of the fastest"
        f" of {settings['timed_rounds']} timed round(s) of {settings['timed_batch']} images; the variants took turns"
        " within every round, and a first round that warmed up is not timed.",
        f"Peak memory: {settings['memory_kind']}.",
    ]
    if any("shapes_fd" in row for row in rows):
        lines.append(
            "shapes-FD and shapes-CLIP are analogues by the embedded model's own evaluators: their numbers cannot be"
            " compared with FID and CLIP score. Semantic accuracy: every attribute, the relation and the background are"
            " right. Texture: mean difference in level between the patch spectra of a picture and of its drawing. ± is"
            " a standard error; results.json has those of the other scores too."
        )
    if any("clip_score" in row for row in rows):
        lines.append(f"CLIP score: 100 x cosine by {settings['clip_model']}.")
    return lines
