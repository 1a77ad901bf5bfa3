"""What settings cost before they are run: seconds from a few measured passes, GFLOPs by the ledger's rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from fdplug.errors import FdplugError
from fdplug.optimization.candidate import Candidate

PLAIN = (3, 9)
"""Lengths of the runs that tell what a call costs, and what everything else does."""
SPANS = (2, 8)
"""Lengths of spans that are timed; those between lie on straight lines."""
ROUNDS = 3


@dataclass(frozen=True)
class Price:
    """What one image costs.

    Attributes:
        seconds: of the pipeline call.
        gflops: of the denoiser.
        calls: as much work as so many calls of the whole denoiser.
    """

    seconds: float
    gflops: float
    calls: float


@dataclass(frozen=True)
class Replay:
    """What replaying one part costs, an image.

    Attributes:
        gflops: of a replayed step.
        spans: (steps, seconds) of spans, the key step included, the shortest first.
        start: seconds that a run takes besides, whatever its spans.
    """

    gflops: float
    spans: tuple[tuple[int, float], ...]
    start: float = 0.0


@dataclass(frozen=True)
class Prices:
    """The table from which everything is priced, an image.

    Attributes:
        rest: seconds outside of the steps.
        call: seconds of a step that calls the whole denoiser.
        gflops: of that call.
        replays: by part, as `part_key` writes it.
    """

    rest: float
    call: float
    gflops: float
    replays: Mapping[str, Replay] = field(default_factory=dict)

    def plain(self, calls: int) -> Price:
        """Return the price of a run that calls the whole denoiser at every step."""
        return Price(self.rest + calls * self.call, calls * self.gflops, float(calls))

    def cut(self, part: Any, spans: Sequence[int]) -> Price:
        """Return the price of a run whose spans have these lengths."""
        replay = self.replays[part_key(part)]
        seconds = self.rest + replay.start + sum(self._span(replay, length) for length in spans)
        gflops = len(spans) * self.gflops + (sum(spans) - len(spans)) * replay.gflops
        return Price(seconds, gflops, gflops / self.gflops)

    def _span(self, replay: Replay, length: int) -> float:
        points = ((1, self.call), *replay.spans)
        for (n, low), (m, high) in pairwise(points):
            if length <= m or m == points[-1][0]:
                return max(self.call, low + (high - low) * (length - n) / (m - n))
        return self.call

    def described(self) -> dict[str, Any]:
        """Return the table as json holds it."""
        return asdict(self)

    @classmethod
    def of(cls, held: Mapping[str, Any]) -> Prices:
        """Return what `described` returned."""
        replays = {
            part: Replay(one["gflops"], tuple((int(n), float(seconds)) for n, seconds in one["spans"]), one["start"])
            for part, one in held["replays"].items()
        }
        return cls(held["rest"], held["call"], held["gflops"], replays)


def part_key(part: Any) -> str:
    """Return the name under which the table holds a part."""
    return json.dumps(part, sort_keys=True)


def spans_of(keys: Collection[int], steps: int) -> list[int]:
    """Return the lengths of the spans that key steps cut a run into; its first step always is one."""
    places = [*sorted({0, *keys}), steps]
    return [end - start for start, end in pairwise(places)]


Timed = Callable[[Candidate], tuple[float, float]]
"""Runs a candidate once; returns its seconds and its GFLOPs, an image."""


def measured(timed: Timed, sampler: Any, parts: Sequence[Any], told: Callable[[int, int], None]) -> Prices:
    """Measure the table by short runs: all of them in turns, and the least of each counts.

    Args:
        timed: runs a candidate.
        sampler: of the runs, one call a step.
        parts: what can be replayed.
        told: called with (runs done, runs in all).
    """
    plain = [Candidate(sampler, steps) for steps in PLAIN]
    probes = {part_key(part): _probes(sampler, part) for part in parts}
    runs = _Runs(timed, [*plain, *(one for some in probes.values() for one in some)])
    for number in range(ROUNDS):
        runs.go_round(lambda done, total, before=number: told(before * total + done, ROUNDS * total))
    short, long = (runs.least[one.key] for one in plain)
    call = max((long - short) / (PLAIN[1] - PLAIN[0]), 1e-9)
    rest, gflops = max(0.0, short - PLAIN[0] * call), runs.gflops[plain[0].key] / PLAIN[0]
    replays = {}
    for part, some in probes.items():
        if all(one.key in runs.least for one in some):
            seconds = [runs.least[one.key] - rest for one in some]
            replays[part] = _replay(seconds, runs.gflops[some[-1].key], call, gflops)
    return Prices(rest, call, gflops, replays)


class _Runs:
    """Short runs, each of which is repeated; one that cannot be run is left out."""

    def __init__(self, timed: Timed, candidates: Sequence[Candidate]) -> None:
        self.least: dict[str, float] = {}
        self.gflops: dict[str, float] = {}
        self._timed, self._left, self._total = timed, list(candidates), len(candidates)

    def go_round(self, told: Callable[[int, int], None]) -> None:
        """Run each once."""
        for place, candidate in enumerate(list(self._left)):
            try:
                seconds, self.gflops[candidate.key] = self._timed(candidate)
                self.least[candidate.key] = min(seconds, self.least.get(candidate.key, seconds))
            except FdplugError:  # a part that this denoiser cannot replay has no price
                self._left.remove(candidate)
            told(place + 1, self._total)


def _probes(sampler: Any, part: Any) -> list[Candidate]:
    """Return runs of one and of three spans of the shortest length, and of one of the longest."""
    return [_spans(sampler, part, length, count) for length, count in ((SPANS[0], 1), (SPANS[0], 3), (SPANS[1], 1))]


def _spans(sampler: Any, part: Any, length: int, count: int) -> Candidate:
    """Return a run of so many spans."""
    policy = {"explicit": {"steps": list(range(0, count * length, length))}}
    return Candidate(sampler, count * length, {"policy": policy, "cache": "reuse", "part": part, "injector": "none"})


def _replay(seconds: Sequence[float], counted: float, call: float, gflops: float) -> Replay:
    """Return what replaying costs: a span costs a call at least, and as many calls as it has steps at most.

    Args:
        seconds: of the runs of `_probes`.
        counted: GFLOPs of the last of them.
        call: seconds of a whole call.
        gflops: of a whole call.
    """
    one, three, long = seconds
    short = (three - one) / 2
    start = max(0.0, one - short)
    spans = zip(SPANS, (short, long - start), strict=True)
    kept = tuple((steps, min(max(span, call), steps * call)) for steps, span in spans)
    return Replay(max(0.0, (counted - gflops) / (SPANS[1] - 1)), kept, start)
