"""`optimize`: from a pipeline, prompts and a budget to the best settings and the proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug.errors import PipelineError
from fdplug.optimization.answer import Answer, answered
from fdplug.optimization.bar import Bar
from fdplug.optimization.budget import Budget
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.contenders import Contenders
from fdplug.optimization.goal import Goal
from fdplug.optimization.judging import BAR, BEST, REFERENCE, Row, judged, lacking, verdict
from fdplug.optimization.measuring.price import Price, Prices
from fdplug.optimization.measuring.pricing import EVERY_STEP, measured
from fdplug.optimization.measuring.quality import Scores
from fdplug.optimization.measuring.records import Records
from fdplug.optimization.measuring.workbench import TimeUp, Workbench
from fdplug.optimization.output.progress import Clock, Teller
from fdplug.optimization.output.report import PICTURES, Found, page_name, write_report
from fdplug.optimization.proposing.cuts import Cuts
from fdplug.optimization.proposing.proposals import Proposals
from fdplug.optimization.proposing.recipe import Recipes, Share
from fdplug.optimization.proposing.space import calls, catalogue
from fdplug.optimization.proposing.study import check_study
from fdplug.optimization.request import Request, made_for, unjudged
from fdplug.optimization.search import Champion, Search
from fdplug.pipeline.active import is_propagated
from fdplug.predict.data.captions import Caption
from fdplug.presets.preset import Preset
from fdplug.profiling.provenance import provenance

if TYPE_CHECKING:
    from fdplug.predict.generation.generate import Call


PARENTS = 2
"""Propagation is put on so many of the best samplers of fewer steps, beside the reference."""


BARRED = 0.5
"""Of the time that is not kept back for the verdict, fewer steps get such a share at most, and the search the rest."""


class Optimizer:
    """One search.

    Args:
        pipe: the pipeline; it is as it was after every run.
        request: what is looked for.
        scores: scores of images, besides PSNR.
        folder: where everything measured is kept; None: nowhere.
        call: calls the pipeline; None as `fdplug generate` does.
        clock: the time it may take.
        teller: says how far it is.

    Attributes:
        best: the best candidate of the calibration prompts so far.
    """

    def __init__(
        self,
        pipe: Any,
        request: Request,
        scores: Scores | None = None,
        folder: Path | None = None,
        call: Call | None = None,
        clock: Clock | None = None,
        teller: Teller | None = None,
    ) -> None:
        _refuse_propagated(pipe)
        check_study(folder)
        scores = scores or Scores()
        self._pipe, self._request = pipe, request
        self._clock, self._teller = clock or Clock(), teller or Teller()
        generation = request.generation
        self._reference = Candidate(generation.sampler, generation.resolved_steps)
        self._space = catalogue(pipe, generation.resolved_steps)
        self._records = Records(folder, request.described(pipe, scores))
        self._bench = Workbench(pipe, generation, self._reference, scores, self._records, request.batch_size, call)
        self.best: Candidate | None = None
        self._tried = 0
        self._begun = 0.0, 0.0

    def run(self) -> Answer:
        """Search, judge and answer."""
        (answer,) = self.answers([self._request.budget])
        return answer

    def answers(self, budgets: Sequence[Budget]) -> Iterator[Answer]:
        """Search, judge and answer for one budget after the other; what was measured for one serves the others, too."""
        try:
            with self._teller:
                for place, budget in enumerate(budgets):
                    self._clock.share(len(budgets) - place)
                    self._request, self.best = replace(self._request, budget=budget), None
                    answer = self._run()
                    self._report(answer, page_name(budget if len(budgets) > 1 else None))
                    yield answer
        finally:
            self._records.close()

    def _report(self, answer: Answer, name: str) -> None:
        if self._records.folder is not None:
            write_report(self._records.folder / name, Found(self._bench, self._request, answer))

    def _run(self) -> Answer:
        request = self._request
        self._begun = self._clock.elapsed, time.process_time()
        self._phase("the settings as they are")
        self._bench.fits = lambda candidate, images: True
        self._bench.outcome(self._reference, request.calibration)
        prices = self._prices()
        steps, scheduler = self._reference.steps, self._pipe.scheduler
        recipes = Recipes(scheduler, prices, steps, self._share(prices), self._taken())
        reference = recipes.stock(self._reference.sampler).cost(self._reference.steps)
        goal = Goal.of(request.budget, reference, self._bench.scores.keys, request.maximize)
        self._bench.fits = self._in_time(recipes, reference, BARRED)
        bar = Bar(self._bench, recipes, goal, request.calibration, self._teller.advance)
        self._phase("fewer steps")
        barred = bar.best(self._space.samplers)
        self._note(barred[0] if barred else None)
        self._bench.fits = self._in_time(recipes, reference)
        champion = self._searched(recipes, goal, barred)
        further = Contenders(self._bench, recipes, goal, request.calibration)
        barred = [*barred, *further.changed(champion, bar, barred)]
        contenders = {REFERENCE: [self._reference], BAR: barred, BEST: [champion.candidate] if champion else []}
        if goal.budget.is_ceiling:
            self._phase("without loss, and as good but faster")
            contenders |= further.companions(champion, barred)
        self._bench.fits = lambda candidate, images: True
        return self._answer(recipes, contenders, {} if goal.budget.is_ceiling else further.spare(champion, barred))

    def _phase(self, title: str, total: int | None = None) -> None:
        self._teller.phase(title, total)

    def _note(self, candidate: Candidate | None) -> None:
        """Keep and show the best so far; a search that is interrupted leaves it in its folder."""
        if candidate is None or candidate == self.best:
            return
        self.best = candidate
        with suppress(TimeUp):
            quality = self._bench.outcome(candidate, self._request.calibration).mean("psnr")
            self._teller.best(f"{candidate.title}, {quality:.1f} dB")
        if self._records.folder is not None:
            self.preset_of(candidate).save(self._records.folder / "best-so-far.yaml")

    def preset_of(self, candidate: Candidate) -> Preset:
        """Return a candidate as a preset that was not judged on held-out prompts."""
        return unjudged(candidate, self._pipe, self._request, self._calls(candidate))

    def _prices(self) -> Prices:
        facts, space = self._records.facts, self._space
        name = f"prices {space.stamp}"
        if name not in facts:
            self._phase("what passes cost")
            found = measured(
                lambda candidate: self._bench.timed(candidate, self._batch),
                self._one_call(),
                space.parts,
                self._teller.advance,
                at_once=space.at_once,
                share=self._taken(),
                guided=bool(space.plugins["guidance"]),
                transforms=space.transforms,
            )
            self._records.note(name, found.described())
        return Prices.of(facts[name])

    def _taken(self) -> float:
        """Return the share of its steps that a run takes, which only a call of one's own can make less than all."""
        if not self._bench.is_called:
            return 1.0
        if "share of steps" not in self._records.facts:
            self._records.note("share of steps", self._bench.share_of_steps(self._batch[:1]))
        return self._records.facts["share of steps"]

    @property
    def _batch(self) -> Sequence[Caption]:
        return self._request.calibration[: self._request.batch_size]

    def _share(self, prices: Prices) -> Share:
        """Return what tells, by a run of as many steps as there are now, which share a guidance leaves full."""

        def share(guidance: Any, candidate: Candidate) -> float:
            whole = Candidate(candidate.sampler, self._reference.steps, {**EVERY_STEP, "guidance": guidance})
            name = f"full steps {whole.key}"
            if name not in self._records.facts:
                calls, lean = round(self._calls(whole) * self._taken()), prices.lean
                assert lean is not None, "a guidance is proposed only where rows can be left out"
                self._bench.begin(replace(whole, propagation=None), len(self._batch))
                spent = self._bench.timed(whole, self._batch)[1] - calls * lean.gflops
                self._records.note(name, min(1.0, max(0.0, spent / (calls * (prices.gflops - lean.gflops)))))
            return self._records.facts[name]

        return share

    def _one_call(self) -> Any:
        """Return a sampler with one denoiser call a step: the reference's own, where it is one."""
        steps = self._reference.steps
        own = self._reference.sampler
        if self._counted(own, steps) == steps:
            return own
        return next(one for one in self._space.samplers if self._counted(one, steps) == steps)

    def _counted(self, sampler: Any, steps: int) -> int:
        return calls(self._pipe.scheduler, sampler, steps)

    def _calls(self, candidate: Candidate) -> int:
        return self._counted(candidate.sampler, candidate.steps)

    def _in_time(self, recipes: Recipes, reference: Price, share: float = 1.0) -> Callable[[Candidate, int], bool]:
        """Return what says whether so many images of a candidate leave enough time to judge.

        Args:
            recipes: tell what candidates cost.
            reference: the price of what the user has.
            share: of the time besides that may be spent.
        """
        images = len(self._bench.records.missing(self._reference, [one.image_id for one in self._request.held_out]))
        contenders = images * reference.seconds + 2 * len(self._request.held_out) * reference.seconds
        begun = self._clock.left()

        def fits(candidate: Candidate, images: int) -> bool:
            slowness = self._bench.slowness
            reserve = min(begun / 2, contenders * slowness)  # with little time, fewer prompts are judged on
            kept = reserve + (1 - share) * (begun - reserve) if share < 1 else reserve
            return self._clock.left(kept) >= images * recipes.price(candidate).seconds * slowness

        return fits

    def _searched(self, recipes: Recipes, goal: Goal, barred: Sequence[Candidate]) -> Champion | None:
        request = self._request
        steps = self._reference.steps
        others = [Candidate(one.sampler, steps) for one in barred[:PARENTS]]
        parents = {one.key: one for one in [self._reference, *others, *_fewer(self._reference)]}
        proposals = Proposals(recipes, self._space, list(parents.values()), Cuts(self._bench, self._batch))
        search = Search(self._bench, proposals, goal, request.calibration, request.generation.seed)
        self._phase("searching", request.trials)

        def told() -> None:
            self._teller.advance(search.tried, request.trials)
            if search.champion is not None and self._leads(search.champion, barred, goal):
                self._note(search.champion.candidate)

        search.run(request.trials, told)
        self._tried = search.tried
        return search.champion

    def _leads(self, champion: Champion, barred: Sequence[Candidate], goal: Goal) -> bool:
        if not barred or not goal.budget.is_ceiling:
            return True
        try:
            return champion.value > self._bench.outcome(barred[0], self._request.calibration).mean(goal.maximize)
        except TimeUp:
            return True

    def _judged(self, recipes: Recipes, contenders: Mapping[str, Sequence[Candidate]]) -> list[Row]:
        request, captions = self._request, self._request.held_out
        self._bench.keep(captions[:PICTURES])
        self._phase("judging on held-out prompts", -(-len(captions) // request.batch_size))
        key = request.maximize if request.budget.is_ceiling else None
        return judged(self._bench, contenders, recipes.price, captions, self._teller.advance, self._clock.left, key)

    def _judged_again(
        self,
        recipes: Recipes,
        contenders: Mapping[str, Sequence[Candidate]],
        spare: Mapping[str, Sequence[Candidate]],
        rows: list[Row],
    ) -> list[Row]:
        """Judge with more work what keeps the floor of a budget on no held-out prompts, if there is time for all."""
        found = {role: some for role, some in spare.items() if some and role in lacking(rows, self._request.budget)}
        each = sum(recipes.price(one).seconds for some in found.values() for one in some)
        if not found or self._clock.left() < each * len(self._request.held_out) * self._bench.slowness:
            return rows
        return self._judged(recipes, {role: [*some, *found.get(role, ())] for role, some in contenders.items()})

    def _answer(
        self,
        recipes: Recipes,
        contenders: Mapping[str, Sequence[Candidate]],
        spare: Mapping[str, Sequence[Candidate]],
    ) -> Answer:
        request = self._request
        rows = self._judged(recipes, contenders)
        rows = self._judged_again(recipes, contenders, spare, rows) if spare else rows
        captions = request.held_out[: len(rows[0].outcome.values["psnr"])]
        decided = verdict(rows, request.budget, request.maximize, self._tried)
        told = {
            "guidance": request.generation.guidance,
            "timesteps": self._calls(decided.row.candidate),
            "budget": request.budget.text,
            "circumstances": {
                **provenance(self._pipe.device),
                "held_out": len(captions),
                "calibration": len(request.calibration),
                "batch_size": request.batch_size,
                "seed": request.generation.seed,
                "image_ids": [one.image_id for one in captions],
                "search_seconds": round(self._clock.elapsed - self._begun[0]),
                "processor_seconds": round(time.process_time() - self._begun[1]),
                "images_generated": self._bench.images,
            },
        }
        return answered(decided, rows, made_for(self._pipe, request), told, self._records.failures)


def _fewer(reference: Candidate) -> list[Candidate]:
    """Return the reference's sampler with two thirds and half of its steps, to put propagation on."""
    wanted = (round(reference.steps * 2 / 3), round(reference.steps / 2))
    return [Candidate(reference.sampler, steps) for steps in wanted if steps >= 2]


def _refuse_propagated(pipe: Any) -> None:
    """Refuse a pipeline on which propagation is on: a search would have to take it off.

    Raises:
        PipelineError: it is.
    """
    if is_propagated(pipe):
        raise PipelineError("the pipeline is propagated already: call remove() first, a search starts from it as it is")
