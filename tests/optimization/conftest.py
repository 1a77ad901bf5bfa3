"""A planted world: a tiny pipeline whose candidates cost and give what a table says."""

from __future__ import annotations

import pytest
import torch

from fdplug import registry
from fdplug.optimization import optimizer
from fdplug.optimization.measuring.price import spans_of
from fdplug.optimization.measuring.workbench import Workbench
from fdplug.optimization.proposing.cuts import Cuts
from fdplug.optimization.proposing.space import calls
from fdplug.predict.generation.generate import GenerationOutput
from fdplug.schedule import Schedule

STEPS = 12
CALL, REPLAY, REST = 0.1, 0.002, 0.2


def keys_of(candidate):
    """The key steps of a candidate."""
    schedule = Schedule(tuple(1000.0 * (1 - step / candidate.steps) for step in range(candidate.steps)))
    return {0, *registry.build("policy", candidate.propagation["policy"]).key_steps(schedule)}


class Planted(Workbench):
    """Makes noise of the strength that `quality` names, in as many seconds as the table says."""

    quality = staticmethod(lambda candidate, work: 30.0)
    ran: list = []  # noqa: RUF012
    clock: list = [0.0]  # noqa: RUF012

    def work(self, candidate):
        """How many whole denoiser calls a candidate makes."""
        if "part" not in (candidate.propagation or {}):
            return calls(self.pipe.scheduler, candidate.sampler, candidate.steps)
        return len(keys_of(candidate))

    def each(self, candidate):
        """What a call costs: with any guidance half of it, and with any transform four fifths."""
        given = candidate.propagation or {}
        return (0.5 if "guidance" in given else 1) * (0.8 if given.get("transforms") else 1)

    def _generate(self, candidate, captions, count=False):
        self.ran.append((candidate.key, tuple(one.image_id for one in captions)))
        work = self.work(candidate)
        left = candidate.steps - work if "part" in (candidate.propagation or {}) else 0
        decibels = 200 if candidate.key == self.reference.key else self.quality(candidate, work)
        sigma = 255 / 10 ** (decibels / 20)
        images = [self._image(one.image_id, candidate, sigma) for one in captions]
        each = self.each(candidate)
        seconds = (REST + each * (work * CALL + left * REPLAY)) * len(captions)
        self.clock[0] += seconds
        if left:
            assert sum(spans_of(keys_of(candidate), candidate.steps)) == candidate.steps
        return GenerationOutput(
            images=torch.stack(images),
            finite=torch.ones(len(captions), dtype=torch.bool),
            seconds=seconds,
            denoiser_seconds=seconds,
            counted={"full": each * (work + 0.02 * left)},
        )

    def _image(self, number, candidate, sigma):
        generator = torch.Generator().manual_seed(number * 1000 + len(candidate.key))
        noise = torch.randn((3, 16, 16), generator=generator)
        return (128 + sigma * noise).round().clamp(0, 255).to(torch.uint8)


@pytest.fixture
def planted(monkeypatch):
    """Make every search run in the planted world; returns what sets the quality of candidates."""
    monkeypatch.setattr(optimizer, "Workbench", Planted)
    curve = [[[index * STEPS // count for index in range(count)], [0.0] * count] for count in range(1, STEPS + 1)]
    monkeypatch.setattr(Cuts, "_recorded", lambda self, parent: {"curve": curve if parent.steps == STEPS else None})
    monkeypatch.setattr(Planted, "ran", [])
    monkeypatch.setattr(Planted, "clock", [0.0])
    few_samplers(monkeypatch)

    def give(quality):
        monkeypatch.setattr(Planted, "quality", staticmethod(quality))
        return Planted.ran

    return give


def few_samplers(monkeypatch):
    """Offer three samplers only."""
    from fdplug.optimization.proposing import space

    offered = ("own", {"dpm-solver++": {"spacing": "trailing"}}, "euler")
    monkeypatch.setattr(space, "_samplers", lambda pipe, steps: iter(offered))
