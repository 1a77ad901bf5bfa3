"""The form of the files that the report reads back: results, the key of the vote, exported votes, and their count."""

from __future__ import annotations

from fdplug.files.schema import OBJECT, TEXT, ListOf, Object, OrNone, Plain, number, one_of, whole
from fdplug.lookup import score_numbers

VOTES_FORMAT = "fdplug-votes-1"
CHOICES = ("left", "same", "right")
STEPS = 100_000
_STEP = whole(0, STEPS)
_TEXTS = ListOf(TEXT)
_CELL = OrNone(Plain("a text or a number", lambda value: isinstance(value, str | int | float)))

_MEASURED = {
    "steps": whole(1, STEPS),
    "num_key_steps": _STEP,
    "gflops_per_image": number(0),
    "denoiser_seconds_per_image": number(0),
    "seconds_per_image": number(0),
    "speedup": number(0),
}
_RANGES = {
    f"{key}_range": ListOf(number(0), 2, 2)
    for key in ("denoiser_seconds_per_image", "seconds_per_image", "speedup", "denoiser_speedup")
}
_VARIANT = {
    "name": TEXT,
    "propagate": OrNone(OBJECT),
    "key_steps": ListOf(_STEP),
    "passes": ListOf(ListOf(_STEP, 2, 2)),
    "compared_with": OrNone(TEXT),
    "identical": OrNone(one_of(True, False)),
    **_MEASURED,
}
_DRIFT = Object(
    {
        "note": TEXT,
        "blocks": ListOf(Object({"name": TEXT, "label": TEXT, "half": TEXT, "change": ListOf(OrNone(number()))})),
    }
)
KEY_OF_VOTES = Object(
    {
        "study": TEXT,
        "pairs": ListOf(
            Object(
                {"id": TEXT, "index": whole(), "variant": TEXT, "against": TEXT, "pictures": ListOf(TEXT, 2, 2)},
                closed=True,
            )
        ),
    }
)
EXPORT = Object(
    {
        "format": one_of(VOTES_FORMAT),
        "study": TEXT,
        "voter": TEXT,
        "votes": ListOf(Object({"pair": TEXT, "choice": one_of(*CHOICES), "left": TEXT, "right": TEXT})),
    }
)
COUNTED = Object(
    {
        "study": TEXT,
        "title": TEXT,
        "head": _TEXTS,
        "body": ListOf(_TEXTS),
        "values": ListOf(ListOf(_CELL)),
        "notes": _TEXTS,
    }
)


def results() -> Object:
    """Return the form of `results.json`; the numbers of all installed scores are known."""
    keys = [name for key in score_numbers() for name in (key, f"{key}_se")]
    scores = {key: OrNone(number()) for key in (*keys, "peak_memory_mb")}
    return Object(
        {
            "created": TEXT,
            "hardware": Object(
                {"device": TEXT, "cpu": TEXT, "cores": OrNone(whole(1)), "torch_threads": whole(1)},
                {"gpu": OrNone(TEXT)},
            ),
            "versions": Object(others=OrNone(TEXT)),
            "settings": Object({"model": TEXT, "image_ids": ListOf(whole(0, 10**18))}),
            "captions": _TEXTS,
            "variants": ListOf(Object(_VARIANT, {**_RANGES, **scores}), least=1),
        },
        {
            "hashes": Object(others=TEXT),
            "published": OrNone(Object({"title": TEXT, "head": _TEXTS, "body": ListOf(_TEXTS), "notes": _TEXTS})),
            "equal_time": _TEXTS,
            "notes": _TEXTS,
            "warnings": _TEXTS,
            "drift": OrNone(_DRIFT),
        },
    )
