"""Searches in a planted world: the best is found, fewer steps where they are best, and a kill loses nothing."""

from __future__ import annotations

import contextlib
import json
import math

import pytest

import fdplug
from fdplug.errors import ConfigError
from fdplug.guidance import First
from fdplug.injectors import NoNoise
from fdplug.optimization import optimize
from fdplug.optimization.budget import Budget
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.optimizer import Optimizer
from fdplug.optimization.output.progress import Clock, Teller
from fdplug.optimization.request import Request, split
from fdplug.predict.data.captions import Caption
from fdplug.predict.generation.config import GenerationConfig
from fdplug.presets import load
from fdplug.testing.checks import registered
from fdplug.transforms import NoTransform
from tests.optimization.conftest import STEPS, Planted

PROMPTS = [f"a red circle {number}" for number in range(12)]


def searched(pipe, budget, **options):
    return fdplug.optimize(pipe, PROMPTS, budget, steps=STEPS, calibration=4, held_out=8, **{"trials": 8, **options})


def solver(candidate, work):
    """The better the solver and the more calls, the better; propagation is a little worse than as many calls."""
    bonus = 3 if "dpm-solver++" in candidate.key else 0
    return 20 + 10 * math.log10(work) + (-2 if candidate.propagation else bonus)


def early_wins(candidate, work):
    """The one policy that is better than everything else."""
    return solver(candidate, work) + (9 if candidate.propagation and '"early": {"count"' in candidate.key else 0)


def test_where_fewer_steps_are_best_it_says_so(pipe, planted):
    planted(solver)
    answer = searched(pipe, "2x")
    assert answer.line.startswith("take dpm-solver++ (spacing trailing), 5 steps: ")
    assert "nothing here beats it at this budget: the best other is at -" in answer.line
    assert answer.preset.settings.sampler == {"dpm-solver++": {"spacing": "trailing"}}
    assert (answer.preset.settings.steps, answer.preset.settings.propagation) == (5, None)
    assert not answer.verdict.beats


def test_what_is_better_is_found_and_wins(pipe, planted):
    planted(early_wins)
    answer = searched(pipe, "2x")
    assert answer.verdict.beats
    chosen = answer.preset.settings
    assert chosen.steps == STEPS
    assert "early" in chosen.propagation["policy"]
    reference, best = answer.rows[0].outcome.pace, answer.verdict.row.outcome.pace
    assert reference / best >= 2
    count = chosen.propagation["policy"]["early"]["count"]
    assert reference / (best + 0.1 - 0.002) < 2, f"one key step more than {count} would still have been in the budget"


@pytest.mark.parametrize(
    ("budget", "work"), [("5calls", 5), ("5.2gflops", 5), ("0.75s", 5), ("psnr=26.5", 5), ("accuracy=0", 5)]
)
def test_every_kind_of_budget_takes_as_many_calls_as_fit(pipe, planted, budget, work):
    """Fewer steps are best; dpm-solver++ has 23 + 10 log10(calls) dB: 29.99 with five, 29.0 with four."""
    planted(lambda candidate, calls: solver(candidate, calls) - (3.0 if budget.startswith("psnr") else 0))
    scores = {"accuracy": lambda images, prompts: [1.0 if len(prompts) and right(images) else 0.0 for _ in prompts]}

    def right(images):
        return float((images.float() - 128).square().mean()) < 255**2 / 10**2.95

    answer = searched(pipe, budget, scores=scores if budget.startswith("accuracy") else {}, trials=4)
    assert answer.preset.settings.steps == work
    assert answer.preset.settings.propagation is None


def test_a_budget_that_is_met_and_a_score_that_is_not_measured_are_refused(pipe, planted):
    planted(solver)
    with pytest.raises(ConfigError, match="the settings as they are meet the budget 50calls already: they take"):
        searched(pipe, "50calls")
    with pytest.raises(ConfigError, match="no score 'beauty' is measured here; there are psnr"):
        searched(pipe, "beauty=-0.1")
    with pytest.raises(ConfigError, match="3 prompts are too few: 2 are searched on and 4 others are judged on"):
        fdplug.optimize(pipe, PROMPTS[:3])


class Killer(Teller):
    """Interrupts the search after so many proposals."""

    def __init__(self, after):
        self.after, self.title = after, ""

    def phase(self, title, total=None):
        self.title = title

    def advance(self, done, total=None):
        if self.title == "searching" and done >= self.after:
            raise KeyboardInterrupt


def test_a_search_that_was_killed_goes_on(pipe, planted, tmp_path):
    ran = planted(early_wins)
    request = request_for()
    first = Optimizer(pipe, request, folder=tmp_path, teller=Killer(6))  # the winner is the sixth
    with pytest.raises(KeyboardInterrupt):
        first.run()
    before = list(ran)
    assert load(tmp_path / "best-so-far.yaml").evidence == "unjudged"
    assert load(tmp_path / "best-so-far.yaml").settings.propagation == first.best.propagation
    second = Optimizer(pipe, request, folder=tmp_path)
    answer = second.run()
    assert answer.verdict.beats
    again = [one for one in ran[len(before) :] if one in before]
    reference = Candidate("own", STEPS).key
    assert {key for key, _ in again} <= {reference}, "only the reference's images are made again"


@pytest.mark.slow
def test_a_search_tries_the_same_however_often_it_is_interrupted(pipe, planted, tmp_path, monkeypatch):
    ran = planted(early_wins)
    once = Optimizer(pipe, request_for(), folder=tmp_path / "once").run()
    tried, made = {key for key, _ in ran}, Planted._generate
    left = iter(())

    def interrupted(self, *given, **more):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return made(self, *given, **more)

    monkeypatch.setattr(Planted, "_generate", interrupted)
    ran.clear()
    answer, starts = None, 0
    while answer is None and starts < 20:
        left = iter(range(6 if starts else 52))  # prices are known at once or not at all; the reference is made anew
        starts += 1
        with contextlib.suppress(KeyboardInterrupt):
            answer = Optimizer(pipe, request_for(), folder=tmp_path / "often").run()
    assert answer is not None
    assert starts > 3
    assert answer.preset.settings == once.preset.settings
    assert {key for key, _ in ran} == tried


@pytest.mark.parametrize("limit", [120.0, 240.0, 480.0])
def test_the_time_is_kept(pipe, planted, monkeypatch, limit):
    """Seconds are those of the planted images; the reference takes 1.4 s an image."""
    planted(early_wins)
    monkeypatch.setattr(optimize, "Clock", lambda limit: Clock(limit, now=lambda: Planted.clock[0]))
    answer = searched(pipe, "2x", time=limit, trials=30)
    assert Planted.clock[0] <= limit
    assert Planted.clock[0] > 0.5 * limit or len(answer.rows[0].outcome.values["psnr"]) == 8


def test_little_time_judges_on_few_prompts(pipe, planted, monkeypatch):
    planted(solver)
    monkeypatch.setattr(optimize, "Clock", lambda limit: Clock(limit, now=lambda: Planted.clock[0]))
    answer = searched(pipe, "2x", time=5)
    assert len(answer.rows[0].outcome.values["psnr"]) == 4
    assert answer.preset.circumstances["held_out"] == 4
    assert not [key for key, _ in Planted.ran if '"early"' in key], "no time was left to search"


def test_fewer_steps_that_are_behind_are_given_up(pipe, planted):
    """The better solver is 3 dB ahead of the two others; half of eight prompts say so."""
    ran = planted(solver)
    answer = searched(pipe, "2x", trials=0)
    barred = [row for row in answer.rows if "fewer steps" in row.roles]
    assert [row.candidate.sampler for row in barred] == [{"dpm-solver++": {"spacing": "trailing"}}]
    judged = {json.loads(key)["sampler"]: ids for key, ids in ran if '"euler"' in key and ids[0] < 8}
    assert judged == {"euler": (0, 1, 2, 3)}


def request_for(**options):
    calibration, held_out = split([Caption(place, text) for place, text in enumerate(PROMPTS)], 4, 8)
    return Request(
        generation=GenerationConfig(sampler="own", steps=STEPS),
        budget=Budget.parse("2x"),
        calibration=calibration,
        held_out=held_out,
        **{"trials": 8, **options},
    )


def test_several_budgets_share_what_is_measured(pipe, planted):
    ran = planted(early_wins)
    budgets = [Budget.parse(one) for one in ("3x", "2x", "psnr=30")]
    answers = list(Optimizer(pipe, request_for()).answers(budgets))
    assert [one.preset.about.rpartition(" ")[2] for one in answers] == ["3x", "2x", "psnr=30"]
    kept = [(key, ids) for key, ids in ran if ids[0] < 8]
    assert len(kept) == len(set(kept)), "nothing is generated twice"
    alone = Optimizer(pipe, request_for()).run()
    assert answers[1].preset.settings == alone.preset.settings


def test_another_space_goes_on_with_what_was_measured(pipe, planted, tmp_path):
    """A plugin that is installed later is searched, too."""
    ran = planted(early_wins)
    Optimizer(pipe, request_for(), folder=tmp_path).run()
    before = len(ran)
    with registered("injector", Fake):
        answer = Optimizer(pipe, request_for(trials=4), folder=tmp_path).run()
    again = {key for key, ids in ran[before:] if ids[0] >= 8 and json.loads(key)["propagation"] is None}
    assert {json.loads(key)["steps"] for key in again} <= {STEPS, 3, 9}, "the reference's images, and prices"
    assert len(answer.rows) >= 3


class Fake(NoNoise):
    """An injector with an option that is worth trying."""

    name = "fake"

    def __init__(self, strength: int = 1):
        self.strength = strength

    @classmethod
    def space(cls, steps):
        return {"strength": (1, 2)}


class FakeRows(First):
    """A guidance."""

    name = "fake-rows"

    @classmethod
    def space(cls, steps):
        return {"share": (0.0,)}


class FakeChange(NoTransform):
    """A transform."""

    name = "fake-change"

    def __init__(self, strength: int = 1):
        self.strength = strength

    @classmethod
    def space(cls, steps):
        return {"strength": (1, 2)}


FAKES = [
    ("injector", Fake, '"injector": {"fake": {"strength": 2}}'),
    ("guidance", FakeRows, '"guidance": {"fake-rows": {"share": 0.0}}'),
    ("transform", FakeChange, '"transforms": [{"fake-change": {"strength": 2}}]'),
]


@pytest.mark.parametrize(("kind", "cls", "settings"), FAKES, ids=[kind for kind, _, _ in FAKES])
def test_what_a_plugin_declares_is_searched(pipe, planted, kind, cls, settings):
    """Nobody but the plugin itself says what is worth trying; where it is best it is found."""
    planted(lambda candidate, work: solver(candidate, work) + (20 if settings in candidate.key else 0))
    with registered(kind, cls):
        answer = searched(pipe, "2x", trials=40)
    assert settings in answer.verdict.best.candidate.key
    if kind == "transform":
        changed = [row for row in answer.rows if "fewer steps" in row.roles and row.candidate.propagation]
        assert [row.candidate.propagation["transforms"] for row in changed] == [[{"fake-change": {"strength": 2}}]]
        assert settings.partition(": ")[0] in answer.verdict.row.candidate.key
    else:
        assert answer.verdict.beats


def test_a_guidance_that_decides_as_it_goes_is_priced_by_what_it_did(pipe, planted):
    """In the planted world it leaves out all other rows at every step: half of the work."""
    planted(lambda candidate, work: solver(candidate, work) + (20 if '"adaptive"' in candidate.key else 0))
    answer = searched(pipe, "2x", trials=40)
    assert "guidance adaptive" in answer.verdict.best.candidate.title
    if "part" not in answer.verdict.best.candidate.propagation:
        assert answer.verdict.best.candidate.steps == 10, "0.2 s and ten halves of 0.1 s are half of 1.4 s"


def test_what_fails_on_held_out_prompts_is_judged_with_more_work(pipe, planted, monkeypatch):
    """Held-out prompts are harder by 1 dB, so that the least work that keeps the floor on the others fails on these."""
    planted(early_wins)
    made = Planted._image

    def harder(self, number, candidate, sigma):
        return made(self, number, candidate, sigma * (10**0.05 if number < 8 else 1.0))

    monkeypatch.setattr(Planted, "_image", harder)
    answer = searched(pipe, "psnr=33", trials=12)
    best = [row for row in answer.rows if "best in budget" in row.roles]
    assert len(best) > 1
    assert best[0].outcome.mean("psnr") < 32.75
    assert answer.verdict.beats
    assert answer.verdict.row.outcome.mean("psnr") > 32.75
    assert answer.verdict.row.price.seconds > best[0].price.seconds
