"""What a table does not say by itself, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fdplug.errors.wording import number_of
from fdplug.lookup import score_numbers
from fdplug.profiling.spread import Spread, unequal_times
from fdplug.scores import BASELINE

Row = dict[str, Any]


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
    """How propagation compares with just taking fewer steps in no more time; what is faster than all those is named."""
    pairs = equal_time(rows)
    sentences = [_sentence(*pair) for pair in pairs]
    if names := [row["name"] for row in without_pair(rows, pairs)]:
        sentences.append(f"No un-accelerated variant takes as little time as {', '.join(names)}: add fewer steps.")
    return sentences


def without_pair(rows: Sequence[Row], pairs: Sequence[tuple[Row, Row]]) -> list[Row]:
    """Return the propagated rows that have no un-accelerated one to choose instead."""
    paired = {row["name"] for row, _ in pairs}
    return [row for row in rows if row["propagate"] is not None and row["name"] not in paired]


def _sentence(row: Row, other: Row) -> str:
    same = row["compared_with"] == other["compared_with"]
    numbers = score_numbers(without=None if same else BASELINE).values()
    scores = [
        f"{one.title} {one.text(other[one.key])} against {one.text(row[one.key])} {one.unit}".rstrip()
        for one in sorted(numbers, key=lambda one: not one.headline)
        if one.column and row.get(one.key) is not None and other.get(one.key) is not None
    ]
    found = "; ".join(scores) or "no score to compare"
    return f"In no more time than {row['name']}, {other['name']} ({_times(row, other)}): {found}."


def _times(row: Row, other: Row) -> str:
    """Return the times of both; how many times as fast, only where that is beyond the spread of the rounds."""
    own, less = Spread.read(row, "seconds_per_image"), Spread.read(other, "seconds_per_image")
    ratio = f", {own.median / less.median:.2f} times as fast" if own.differs(less) else ", within the spread"
    return f"{less} against {own} s/image{ratio}"


def explanations(rows: list[Row], settings: dict[str, Any]) -> list[str]:
    """What the columns mean."""
    lines = [
        *unequal_times(rows),
        *_without_baseline(rows),
        "PSNR, SSIM (means over images) and speed-up: against the un-accelerated images of the same sampler, captions"
        " and seeds; with fewer steps, against those of the most steps."
        if settings.get("reference") is None
        else f"PSNR, SSIM (means over images) and speed-up: against {settings['reference']}, of the same captions and"
        " seeds.",
        "GFLOPs count a multiply-add once, over all denoiser calls, guidance included. Seconds are the median"
        f" of {number_of(settings['timed_rounds'], 'timed round')} of {number_of(settings['timed_batch'], 'image')},"
        " with the range from the fastest to the slowest; the variants took turns within every round, and a first round"
        " that warmed up is not timed. A speed-up is the median of the ratios round by round; in brackets where some"
        " rounds were faster and others slower.",
        f"Peak memory: {settings['memory_kind']}.",
    ]
    lines += [_by_stage(row) for row in rows if row.get("stages")]
    if any("shapes_fd" in row for row in rows):
        lines.append(
            "shapes-FD and shapes-CLIP are analogues by the embedded model's own evaluators: their numbers cannot be"
            " compared with FID and CLIP score. Semantic accuracy: every attribute, the relation and the background are"
            " right. Texture: mean difference in level between the patch spectra of a picture and of its drawing. ± is"
            " a standard error; results.json has those of the other scores too."
        )
    if any("outline_f1" in row for row in rows):
        lines.append(
            "Outline F1: boundaries of the objects that a judge finds in a picture, against the outlines of its"
            " caption's scene, within one pixel."
        )
    if any("clip_score" in row for row in rows):
        lines.append(f"CLIP score: 100 x cosine by {settings['clip_model']}.")
    return lines


def _without_baseline(rows: list[Row]) -> list[str]:
    """Say what would have to be there for PSNR and speed-up of propagated rows that are compared with nothing."""
    lone = [row for row in rows if row["propagate"] is not None and row["compared_with"] is None]
    return [
        f"Nothing here is {row['name']} un-accelerated, so it has no PSNR, SSIM and speed-up: add a variant with"
        f" {_plainly(row)}, or name another one by --reference."
        for row in lone
    ]


def _plainly(row: Row) -> str:
    guidance = "" if row["guidance"] is None else f", guidance {row['guidance']:g}"
    return f"{row['sampler']}, {number_of(row['steps'], 'step')}{guidance}"


def _by_stage(row: Row) -> str:
    """Say what each pipeline of a cascade did."""
    return f"{row['name']}, one pipeline after the other: {'; '.join(map(_stage, row['stages']))}."


def _stage(stage: Row) -> str:
    keys = "" if stage.get("key_steps") is None else f", {stage['key_steps']} of them key steps"
    gflops = stage.get("gflops_per_image")
    return f"{stage['pipeline']} {stage['steps']} steps{keys}, {'?' if gflops is None else f'{gflops:.3g}'} GFLOPs"
