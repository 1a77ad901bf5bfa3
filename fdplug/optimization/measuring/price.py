"""What settings cost before they are run: seconds from a few measured passes, GFLOPs by the ledger's rules."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any


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
class Pass:
    """What one call of the denoiser costs, an image."""

    seconds: float
    gflops: float


@dataclass(frozen=True)
class Replay:
    """What replaying one part costs, an image.

    Attributes:
        gflops: of a replayed step.
        spans: (steps, seconds) of spans, the key step included, the shortest first.
        start: seconds that a run takes besides, whatever its spans.
        decoding: settings of `propagate` by which long spans are decoded fastest.
    """

    gflops: float
    spans: tuple[tuple[int, float], ...]
    start: float = 0.0
    decoding: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run computes.

    Attributes:
        steps: how many there are.
        part: what is computed at key steps alone; None: every step is run.
        keys: key steps.
        full: steps at which all rows of guidance run; None: all steps.
        transforms: specs of what else is changed.
    """

    steps: int
    part: Any = None
    keys: Collection[int] = ()
    full: Collection[int] | None = None
    transforms: Sequence[Any] = ()


@dataclass(frozen=True)
class Prices:
    """The table from which everything is priced, an image.

    Attributes:
        rest: seconds outside of the steps.
        call: seconds of a step that calls the whole denoiser.
        gflops: of that call.
        replays: by part, as `key_of` writes it.
        lean: a call with the conditional rows of guidance alone; None where no row can be left out.
        changed: a whole call by transform, as `key_of` writes it.
    """

    rest: float
    call: float
    gflops: float
    replays: Mapping[str, Replay] = field(default_factory=dict)
    lean: Pass | None = None
    changed: Mapping[str, Pass] = field(default_factory=dict)

    def priced(self, work: Work) -> Price:
        """Return the price of a run."""
        whole = work.part is None
        price = self.plain(work.steps) if whole else self.cut(work.part, spans_of(work.keys, work.steps))
        seconds, gflops = price.seconds, price.gflops
        if work.full is not None and self.lean is not None:
            left = [step for step in range(work.steps) if step not in work.full]
            keys = [step for step in left if whole or step in work.keys or step == 0]
            share = 1 - self.lean.gflops / self.gflops
            replayed = 0.0 if whole else self.replays[key_of(work.part)].gflops
            seconds -= len(keys) * (self.call - self.lean.seconds)
            gflops -= share * (len(keys) * self.gflops + (len(left) - len(keys)) * replayed)
        for change in (self.changed[key_of(one)] for one in work.transforms):
            seconds = self.rest + (seconds - self.rest) * change.seconds / self.call
            gflops *= change.gflops / self.gflops
        return Price(seconds, gflops, gflops / self.gflops)

    def plain(self, calls: int) -> Price:
        """Return the price of a run that calls the whole denoiser at every step."""
        return Price(self.rest + calls * self.call, calls * self.gflops, float(calls))

    def cut(self, part: Any, spans: Sequence[int]) -> Price:
        """Return the price of a run whose spans have these lengths."""
        replay = self.replays[key_of(part)]
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
            part: Replay(
                one["gflops"],
                tuple((int(n), float(seconds)) for n, seconds in one["spans"]),
                one["start"],
                one["decoding"],
            )
            for part, one in held["replays"].items()
        }
        lean = None if held["lean"] is None else Pass(**held["lean"])
        changed = {name: Pass(**one) for name, one in held["changed"].items()}
        return cls(held["rest"], held["call"], held["gflops"], replays, lean, changed)


def key_of(spec: Any) -> str:
    """Return the name under which the table holds a part or a transform."""
    return json.dumps(spec, sort_keys=True)


def spans_of(keys: Collection[int], steps: int) -> list[int]:
    """Return the lengths of the spans that key steps cut a run into; its first step always is one."""
    places = [*sorted({0, *keys}), steps]
    return [end - start for start, end in pairwise(places)]
