"""The table of prices, measured by short runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from fdplug.errors import ConfigError, FdplugError
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.measuring.price import Pass, Prices, Replay, key_of

PLAIN = (3, 9)
"""Lengths of the runs that tell what a call costs, and what everything else does."""
SPANS = (2, 8)
"""Lengths of spans that are timed; those between lie on straight lines."""
ROUNDS = 3
DECODINGS: tuple[Mapping[str, Any], ...] = ({}, {"decoding": "serial"}, {"max_span_batch": "auto"})
"""How the steps of a span may be decoded; the images are the same."""
FASTER = 0.95
"""Another decoding than the first is taken only where its span takes less than such a share of the seconds."""
LEANER = 0.99
"""Rows are left out only where that leaves less than such a share of the GFLOPs."""
EVERY_STEP: Mapping[str, Any] = {"policy": "all", "injector": "none"}
"""Settings of `propagate` that run every step."""
LEAN: Mapping[str, Any] = {**EVERY_STEP, "guidance": {"first": {"share": 0.0}}}

Timed = Callable[[Candidate], tuple[float, float]]
"""Runs a candidate once; returns its seconds and its GFLOPs, an image."""
Told = Callable[[int, int], None]


def measured(
    timed: Timed,
    sampler: Any,
    parts: Sequence[Any],
    told: Told = lambda done, total: None,
    *,
    at_once: Collection[Any] = (),
    share: float = 1.0,
    guided: bool = False,
    transforms: Sequence[Any] = (),
) -> Prices:
    """Measure the table by short runs: all of them in turns, and the least of each counts.

    Args:
        timed: runs a candidate.
        sampler: of the runs, one call a step.
        parts: what can be replayed.
        told: called with (runs done, runs in all).
        at_once: those of the parts whose spans may be decoded in one batch.
        share: of its steps that a run takes.
        guided: whether to find out what calls without the other rows of guidance cost.
        transforms: what else may be changed.
    """
    short = Short(sampler, share)
    decodings = dict.fromkeys(map(key_of, parts), DECODINGS[0]) | _decodings(timed, short, at_once)
    plain = short.lengths(None)
    probes = {key_of(part): short.probes(part, decodings[key_of(part)]) for part in parts}
    lean = short.lengths(LEAN) if guided else []
    changes = {key_of(one): short.lengths({**EVERY_STEP, "transforms": [one]}) for one in transforms}
    groups = [plain, lean, *probes.values(), *changes.values()]
    runs = Runs(timed, [one for some in groups for one in some])
    for number in range(ROUNDS):
        runs.go_round(lambda done, total, before=number: told(before * total + done, ROUNDS * total))
    _refuse_fixed_steps(runs, plain)
    whole, rest = _pass(runs, plain)
    replays = {}
    for part, some in probes.items():
        if runs.did(some):
            seconds = [runs.least[one.key] - rest for one in some]
            replays[part] = _replay(seconds, runs.gflops[some[-1].key], whole, decodings[part])
    left = _pass(runs, lean)[0] if lean and runs.did(lean) else whole
    return Prices(
        rest,
        whole.seconds,
        whole.gflops,
        replays,
        left if left.gflops < LEANER * whole.gflops else None,
        {name: _pass(runs, some)[0] for name, some in changes.items() if runs.did(some)},
    )


class Runs:
    """Short runs, each of which is repeated; one that cannot be run is left out.

    Attributes:
        least: seconds, an image, by the key of the candidate.
        gflops: an image, by the same.
    """

    def __init__(self, timed: Timed, candidates: Sequence[Candidate]) -> None:
        self.least: dict[str, float] = {}
        self.gflops: dict[str, float] = {}
        self._timed, self._left, self._total = timed, list(candidates), len(candidates)

    def go_round(self, told: Told = lambda done, total: None) -> None:
        """Run each once."""
        for place, candidate in enumerate(list(self._left)):
            try:
                seconds, self.gflops[candidate.key] = self._timed(candidate)
                self.least[candidate.key] = min(seconds, self.least.get(candidate.key, seconds))
            except (FdplugError, RuntimeError):  # what this denoiser or its memory cannot do has no price
                self._left.remove(candidate)
            told(place + 1, self._total)

    def did(self, candidates: Sequence[Candidate]) -> bool:
        """Whether all of these could be run."""
        return all(one in self._left for one in candidates)


class Short:
    """Makes short runs.

    Args:
        sampler: of the runs.
        share: of its steps that a run takes.
    """

    def __init__(self, sampler: Any, share: float) -> None:
        self._sampler, self._share = sampler, share

    def lengths(self, settings: Mapping[str, Any] | None) -> list[Candidate]:
        """Return a short and a long run of the same settings."""
        return [self._run(steps, settings) for steps in PLAIN]

    def probes(self, part: Any, decoding: Mapping[str, Any]) -> list[Candidate]:
        """Return runs of one and of three spans of the shortest length, and of one of the longest."""
        wanted = ((SPANS[0], 1), (SPANS[0], 3), (SPANS[1], 1))
        return [self.spans(part, length, count, decoding) for length, count in wanted]

    def spans(self, part: Any, length: int, count: int, decoding: Mapping[str, Any]) -> Candidate:
        """Return a run of so many spans."""
        policy = {"uniform": {"interval": length}}
        return self._run(
            count * length, {"policy": policy, "cache": "reuse", "part": part, "injector": "none", **decoding}
        )

    def _run(self, steps: int, settings: Mapping[str, Any] | None) -> Candidate:
        """Return a run that takes so many steps."""
        return Candidate(self._sampler, math.ceil(round(steps / self._share, 6)), settings)


def _decodings(timed: Timed, short: Short, parts: Collection[Any]) -> dict[str, Mapping[str, Any]]:
    """Return how the longest spans of every part are decoded fastest."""
    tried = {key_of(part): [short.spans(part, SPANS[1], 1, one) for one in DECODINGS] for part in parts}
    runs = Runs(timed, [one for some in tried.values() for one in some])
    for _ in range(ROUNDS - 1):
        runs.go_round()
    chosen = {}
    for part, some in tried.items():
        seconds = [runs.least.get(one.key, float("inf")) for one in some]
        least = min(range(len(some)), key=seconds.__getitem__)
        chosen[part] = DECODINGS[least if seconds[least] < FASTER * seconds[0] else 0]
    return chosen


def _pass(runs: Runs, lengths: Sequence[Candidate]) -> tuple[Pass, float]:
    """Return what a call costs in the runs of `Short.lengths`, and the seconds outside of calls."""
    short, long = (runs.least[one.key] for one in lengths)
    seconds = max((long - short) / (PLAIN[1] - PLAIN[0]), 1e-9)
    return Pass(seconds, runs.gflops[lengths[0].key] / PLAIN[0]), max(0.0, short - PLAIN[0] * seconds)


def _refuse_fixed_steps(runs: Runs, lengths: Sequence[Candidate]) -> None:
    """Refuse a pipeline whose runs all have as many steps: a call of one's own may not hand the number on.

    Raises:
        ConfigError: a run of three times the steps makes no more calls, or not even short runs can be made.
    """
    if not runs.did(lengths):
        raise ConfigError(
            f"runs of {' and '.join(str(one.steps) for one in lengths)} steps cannot be made, by which everything is "
            "priced; call the pipeline with as few steps to see why"
        )
    short, long = (runs.gflops[one.key] for one in lengths)
    if long < 2 * short:
        raise ConfigError(
            f"a run of {lengths[1].steps} steps costs as much as one of {lengths[0].steps}: `call` is to hand all of "
            "its keyword arguments (num_inference_steps, or timesteps) on to the pipeline"
        )


def _replay(seconds: Sequence[float], counted: float, whole: Pass, decoding: Mapping[str, Any]) -> Replay:
    """Return what replaying costs: a span costs a call at least, and as many calls as it has steps at most.

    Args:
        seconds: of the runs of `Short.probes`.
        counted: GFLOPs of the last of them.
        whole: a whole call.
        decoding: of the runs.
    """
    one, three, long = seconds
    short = (three - one) / 2
    start = max(0.0, one - short)
    spans = zip(SPANS, (short, long - start), strict=True)
    kept = tuple((steps, min(max(span, whole.seconds), steps * whole.seconds)) for steps, span in spans)
    return Replay(max(0.0, (counted - whole.gflops) / (SPANS[1] - 1)), kept, start, decoding)
