"""The pictures of the report: for every variant the first few beside the un-accelerated ones, with their scores."""

from __future__ import annotations

from typing import Any

from fdplug.report.folder import Compared
from fdplug.report.pictures import Album
from fdplug.report.scores import change, mistakes

Verdicts = dict[tuple[str, int], list[str]]
"""What is wrong, by variant and caption."""


def gallery(compared: Compared, count: int, side: int) -> dict[str, Any]:
    """Pictures and scores as the page takes them.

    Args:
        compared: the comparison.
        count: pictures per variant, at most; the first ones.
        side: pixels to which larger pictures are reduced; scores are of the whole ones.
    """
    count, album = min(count, len(compared.captions)), Album(side)
    verdicts, remark = _verdicts(compared, count)
    keys = {row["name"]: f"v{place}" for place, row in enumerate(compared.rows)}
    shown = []
    for row in compared.rows:
        if row["compared_with"] is not None:
            shown.append(
                {
                    "name": row["name"],
                    "against": row["compared_with"],
                    "propagated": row["propagate"] is not None,
                    "pictures": [
                        _pair(compared, row, index, keys, album, verdicts)
                        for index in range(count)
                        if compared.both(row, index)
                    ],
                }
            )
    return {
        "captions": compared.captions[:count],
        "album": album.uris,
        "shown": shown,
        "pixelated": not album.reduced,
        "note": _note(compared, count, album) + remark,
    }


def _pair(
    compared: Compared, row: dict[str, Any], index: int, keys: dict[str, str], album: Album, verdicts: Verdicts
) -> dict[str, Any]:
    name, against = row["name"], row["compared_with"]
    own, other = compared.picture(name, index), compared.picture(against, index)
    return {
        "caption": index,
        "own": album.add(f"{keys[name]}-{index}", own),
        "against": album.add(f"{keys[against]}-{index}", other),
        "own_wrong": verdicts.get((name, index)),
        "against_wrong": verdicts.get((against, index)),
        **change(own, other),
    }


def _verdicts(compared: Compared, count: int) -> tuple[Verdicts, str]:
    """What the evaluators of `shapes` find wrong, and a remark; nothing for another model."""
    if "shapes" not in compared.results["settings"].get("scores", ()):
        return {}, ""
    names = [row["name"] for row in compared.rows]
    generated = [(name, index) for name in names for index in range(count) if compared.generated(name, index)]
    captions = [compared.captions[index] for _, index in generated]
    try:
        found = mistakes([compared.picture(*one) for one in generated], captions)
    except ValueError as error:
        return {}, f" Pictures are not judged one by one: {error!s:.90}..."
    remark = " Right and wrong: what the evaluators of shapes read in the picture; they err, too."
    return dict(zip(generated, found, strict=True)), remark


def _note(compared: Compared, count: int, album: Album) -> str:
    size = f"reduced to {album.side} pixels" if album.reduced else "as generated"
    missing = sum(not compared.generated(row["name"], index) for row in compared.rows for index in range(count))
    lost = f" Missing: {missing}, which held not-a-number, or were removed." if missing else ""
    return (
        f"Embedded: the first {count} of {len(compared.captions)} pictures of every variant, {size},"
        f" {album.megabytes:.1f} MB. PSNR and SSIM are of the whole pictures.{lost}"
    )
