"""What settings cost before they are run: seconds from a few measured passes, GFLOPs by the ledger's rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from fdplug.errors import FdplugError
from fdplug.optimization.candidate import Candidate

SPANS = (2, 4, 8)
"""Lengths of spans that are timed; those between lie on straight lines."""


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
    """

    gflops: float
    spans: tuple[tuple[int, float], ...]


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
        seconds = self.rest + sum(self._span(replay, length) for length in spans)
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
            part: Replay(one["gflops"], tuple((int(n), float(seconds)) for n, seconds in one["spans"]))
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
"""Runs a candidate a few times; returns its least seconds and its GFLOPs, an image."""


def measured(timed: Timed, sampler: Any, parts: Sequence[Any], advance: Callable[[], None]) -> Prices:
    """Measure the table by short runs.

    Args:
        timed: runs a candidate.
        sampler: of the runs, one call a step.
        parts: what can be replayed.
        advance: told after every part.
    """
    short, long = timed(Candidate(sampler, 3)), timed(Candidate(sampler, 9))
    call = max((long[0] - short[0]) / 6, 1e-9)
    rest, gflops = max(0.0, short[0] - 3 * call), short[1] / 3
    advance()
    replays: dict[str, Replay] = {}
    for part in parts:
        try:
            replays[part_key(part)] = _replay(timed, sampler, part, rest, gflops)
        except FdplugError:
            continue  # a part that this denoiser does not have, or that cannot be run: it has no price
        finally:
            advance()
    return Prices(rest, call, gflops, replays)


def _replay(timed: Timed, sampler: Any, part: Any, rest: float, gflops: float) -> Replay:
    """Time a span of each length."""
    spans, counted = [], 0.0
    for length in SPANS:
        settings = {"policy": {"explicit": {"steps": [0]}}, "cache": "reuse", "part": part, "injector": "none"}
        seconds, counted = timed(Candidate(sampler, length, settings))
        spans.append((length, max(0.0, seconds - rest)))
    return Replay(max(0.0, (counted - gflops) / (SPANS[-1] - 1)), tuple(spans))
