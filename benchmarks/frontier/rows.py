"""The rows of the frontier: ways to generate the same pictures, on one of the embedded models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.frontier.testbeds import KARRAS, TRAILING, Options, Testbed

LEFT_OUT = 2  # of the last steps, in the rows that leave some out


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to generate the pictures.

    Attributes:
        name: of the row, also its file's.
        family: `reference`, `limit`, `stock`, `trunk`, `tuned`, `knots`, `paper`, `deepcache`, `residual`, `guidance`,
            `leaveout` or `earlystop`.
        calls: denoiser calls at which everything is computed; those of a prior, too. Of `guidance`, as many whole calls
            as its GFLOPs are worth.
        sampler: a sampler's name, or {name: options}.
        steps: of the sampler.
        settings: of `fdplug.propagate`; None: the pipeline as it is.
    """

    name: str
    family: str
    calls: int
    sampler: Any
    steps: int
    settings: Options | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found on other captions, for the rows that need it.

    Attributes:
        tuned: what `fdplug tune --part trunk` wrote.
        keys: part -> calls -> key steps, what `benchmarks.frontier.keys` wrote.
        rules: policy -> calls -> options, what `benchmarks.frontier.rules` wrote.
    """

    tuned: Path | None = None
    keys: Path | None = None
    rules: Path | None = None


def rows(bed: Testbed, found: Found, budgets: Sequence[int] | None = None) -> Iterator[Row]:
    """Yield the reference and its limit, then the rows of every budget, as far as what they need was found."""
    budgets = bed.budgets if budgets is None else budgets
    yield Row(name=bed.reference, family="reference", calls=bed.steps, sampler=bed.parent, steps=bed.steps)
    sampler, steps = bed.limit
    yield Row(name="limit", family="limit", calls=steps, sampler=sampler, steps=steps)
    for calls in budgets:
        yield from _trunk(bed, calls, found.tuned)
    for calls in budgets:
        for name, options in bed.samplers():
            yield Row(name=f"{name}-{calls}", family="stock", calls=calls, sampler=options, steps=calls)
    yield from _inside(bed, budgets, found)
    yield from _residual(bed, budgets, found.rules)
    if bed.unet:
        yield from _left_out(budgets)
        yield from _early_stop(budgets)
        yield from _guidance(budgets)


def _trunk(bed: Testbed, calls: int, tuned: Path | None) -> Iterator[Row]:
    common: Options = {"part": "trunk", "injector": "none"}
    caches = {"reuse": "reuse", "linear": {"forecast": {}}}
    for label, cache in caches.items():
        settings = {**common, "cache": cache, "policy": {"early": {"count": calls}}}
        yield _ours(bed, f"trunk-early-{label}-{calls}", "trunk", calls, settings)
    if tuned is not None:
        given = {"tuned": {"file": str(tuned), "keys": calls}}
        yield _ours(bed, f"trunk-tuned-{calls}", "tuned", calls, {**common, "cache": given, "policy": given})
        if bed.unet and not bed.label:
            sampler = {"tuned": {"file": str(tuned)}}
            yield Row(name=f"knots-{calls}", family="knots", calls=calls, sampler=sampler, steps=calls)


def _inside(bed: Testbed, budgets: Sequence[int], found: Found) -> Iterator[Row]:
    """Yield the parts that look at the sample or at the time in between: the paper's method, and DeepCache.

    `tuned` are the trunk's key steps, `own` those that were searched for the part itself.
    """
    parts = {"paper": "encoder", **({"deepcache": "deepcache"} if bed.unet else {})}
    if bed.unet and not bed.label:
        yield _ours(bed, "paper-9", "paper", 9, {"policy": "paper", "injector": "none"})
    searched = _read(found.keys)
    for calls in budgets:
        policies: Options = {"uniform": {"uniform": {"count": calls}}}
        if found.tuned is not None:
            policies["tuned"] = {"tuned": {"file": str(found.tuned), "keys": calls}}
        for family, part in parts.items():
            own = searched.get(part, {}).get(str(calls))
            each = policies if own is None else {**policies, "own": {"explicit": {"steps": own}}}
            for label, policy in each.items():
                settings = {"policy": policy, "injector": "none", "part": part}
                yield _ours(bed, f"{family}-{label}-{calls}", family, calls, settings)


def residual(policy: str, options: Mapping[str, Any]) -> Options:
    """Return the settings of `fdplug.propagate` for a residual cache's rule."""
    part = "after-first-block" if policy == "fbcache" else "all-blocks"
    return {"part": part, "policy": {policy: options}, "injector": "none"}


def _residual(bed: Testbed, budgets: Sequence[int], rules: Path | None) -> Iterator[Row]:
    """Yield what the blocks add, kept by three methods' rules; their thresholds were set on other captions."""
    for policy, by_calls in _read(rules).items():
        for calls in budgets:
            if (options := by_calls.get(str(calls))) is not None:
                settings = residual(policy, options)
                yield _ours(bed, f"{policy}-{calls}", "residual", calls, settings)


def _early_stop(budgets: Sequence[int]) -> Iterator[Row]:
    """Yield ES-DDPM, three quarters of its calls in the prior: the best of a few shares.

    The prior is the pipeline itself with Euler on Karras levels; the last fifth of a DDIM run follows.
    """
    for calls in budgets:
        rest = calls // 4
        early = {"strength": 0.2, "steps": calls - rest, "sampler": {"euler": KARRAS}}
        yield Row(
            name=f"earlystop-{calls}",
            family="earlystop",
            calls=calls,
            sampler={"ddim": TRAILING},
            steps=5 * rest,
            settings={"policy": "all", "injector": "none", "transforms": [{"earlystop": early}]},
        )


def _left_out(budgets: Sequence[int]) -> Iterator[Row]:
    """Yield Euler on Karras levels with two steps more, of which the last two are left out."""
    for calls in budgets:
        yield Row(
            name=f"leaveout-{calls}",
            family="leaveout",
            calls=calls,
            sampler={"euler": {**KARRAS, "leave_out": LEFT_OUT}},
            steps=calls + LEFT_OUT,
            settings={"policy": "all", "injector": "none"},
        )


EVERY_OTHER = {25: 33, 20: 26, 16: 21, 14: 18, 12: 16, 10: 13, 8: 10}
GUIDED: tuple[tuple[str, Options, dict[int, int]], ...] = (
    ("cached", {"cached": {"every": 2}}, EVERY_OTHER),
    ("extrapolated", {"cached": {"every": 2, "difference": "extrapolated"}}, EVERY_OTHER),
    ("first", {"first": {"share": 0.5}}, EVERY_OTHER),
    ("interval", {"interval": {}}, EVERY_OTHER | {12: 15}),
    ("adaptive", {"adaptive": {}}, EVERY_OTHER),
    ("fastercache", {"fastercache": {}}, {25: 34, 20: 27, 16: 22, 14: 19, 12: 16, 10: 14, 8: 11}),
)
"""Guidances, and per number of whole calls the most steps that cost no more, a step without its other row being half.

What `adaptive` costs depends on the pictures."""


def _guidance(budgets: Sequence[int]) -> Iterator[Row]:
    """Yield guidance rows left out, with as many more steps of Euler on Karras levels as that pays for."""
    for label, guidance, steps in GUIDED:
        for calls in (one for one in budgets if one in steps):
            yield Row(
                name=f"guidance-{label}-{calls}",
                family="guidance",
                calls=calls,
                sampler={"euler": KARRAS},
                steps=steps[calls],
                settings={"policy": "all", "injector": "none", "guidance": guidance},
            )


def _read(path: Path | None) -> Options:
    return {} if path is None else json.loads(path.read_text(encoding="utf-8"))


def _ours(bed: Testbed, name: str, family: str, calls: int, settings: Options) -> Row:
    name = f"{bed.label}-{name}" if bed.label else name
    return Row(name=name, family=family, calls=calls, sampler=bed.parent, steps=bed.steps, settings=settings)
