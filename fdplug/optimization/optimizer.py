"""`optimize`: from a pipeline, prompts and a budget to the best settings and the proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug.errors import PipelineError
from fdplug.optimization.answer import Answer, answered
from fdplug.optimization.bar import Bar
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.cuts import Cuts
from fdplug.optimization.goal import Goal, is_lossless
from fdplug.optimization.judging import BAR, BEST, FASTEST, LOSSLESS, REFERENCE, judged, verdict
from fdplug.optimization.measuring.price import Price, Prices, measured
from fdplug.optimization.measuring.quality import Scores
from fdplug.optimization.measuring.records import Records
from fdplug.optimization.measuring.workbench import CandidateError, Workbench
from fdplug.optimization.output.progress import Clock, Teller
from fdplug.optimization.output.report import PICTURES, REPORT, Found, write_report
from fdplug.optimization.recipe import Recipes
from fdplug.optimization.request import LEAST_HELD_OUT, Request, made_for, unjudged
from fdplug.optimization.search import Champion, Search
from fdplug.optimization.space import catalogue
from fdplug.pipeline.active import is_propagated
from fdplug.predict.data.captions import Caption
from fdplug.presets.preset import Preset
from fdplug.profiling.provenance import provenance

if TYPE_CHECKING:
    from fdplug.predict.generation.generate import Call


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
        self._slowness = 1.0  # how much longer things take by the clock on the wall than they should

    def run(self) -> Answer:
        """Search, judge and answer."""
        try:
            with self._teller:
                answer = self._run()
                if self._records.folder is not None:
                    write_report(self._records.folder / REPORT, Found(self._bench, self._request, answer))
                return answer
        finally:
            self._records.close()

    def _run(self) -> Answer:
        request = self._request
        self._phase("the settings as they are")
        start, before = self._clock.elapsed, self._bench.images
        own = self._bench.outcome(self._reference, request.calibration)
        made = self._bench.images - before
        self._slowness = max(1.0, (self._clock.elapsed - start) / (made * own.pace)) if made else 1.0
        recipes = Recipes(self._pipe.scheduler, self._prices(), self._reference.steps)
        reference = recipes.stock(self._reference.sampler).cost(self._reference.steps)
        goal = Goal.of(request.budget, reference, self._bench.scores.keys, request.maximize)
        bar = Bar(self._bench, recipes, goal, request.calibration, self._teller.advance, self._is_late(reference))
        self._phase("fewer steps")
        barred = bar.best(self._space.samplers)
        self._note(barred[0] if barred else None)
        champion = self._searched(recipes, goal, reference, barred)
        contenders = {REFERENCE: [self._reference], BAR: barred, BEST: [champion.candidate] if champion else []}
        if goal.budget.is_ceiling:
            contenders |= self._companions(recipes, champion, barred, reference)
        return self._answer(recipes, contenders)

    def _phase(self, title: str, total: int | None = None) -> None:
        self._teller.phase(title, total)

    def _note(self, candidate: Candidate | None) -> None:
        """Keep and show the best so far; a search that is interrupted leaves it in its folder."""
        if candidate is None or candidate == self.best:
            return
        self.best = candidate
        quality = self._bench.outcome(candidate, self._request.calibration).mean("psnr")
        self._teller.best(f"{candidate.title}, {quality:.1f} dB")
        if self._records.folder is not None:
            self.preset_of(candidate).save(self._records.folder / "best-so-far.yaml")

    def preset_of(self, candidate: Candidate) -> Preset:
        """Return a candidate as a preset that was not judged on held-out prompts."""
        return unjudged(candidate, self._pipe, self._request, self._calls(candidate))

    def _prices(self) -> Prices:
        facts, parts = self._records.facts, self._space.parts
        if "prices" not in facts:
            self._phase("what passes cost")
            batch = self._request.calibration[: self._request.batch_size]
            found = measured(
                lambda candidate: self._bench.timed(candidate, batch), self._one_call(), parts, self._teller.advance
            )
            self._records.note("prices", found.described())
        return Prices.of(facts["prices"])

    def _one_call(self) -> Any:
        """Return a sampler with one denoiser call a step: the reference's own, where it is one."""
        steps = self._reference.steps
        own = self._reference.sampler
        if self._counted(own, steps) == steps:
            return own
        return next(one for one in self._space.samplers if self._counted(one, steps) == steps)

    def _counted(self, sampler: Any, steps: int) -> int:
        return Recipes(self._pipe.scheduler, Prices(0, 0, 0), steps).calls(sampler, steps)

    def _calls(self, candidate: Candidate) -> int:
        return self._counted(candidate.sampler, candidate.steps)

    def _is_late(self, price: Price) -> Callable[[], bool]:
        """Return what says that just enough time is left to judge."""
        contenders = 1.5 + 3 / 2  # the reference, and the others at about half its cost
        reserve = contenders * price.seconds * len(self._request.held_out) * self._slowness
        return lambda: self._clock.left(reserve) <= 0

    def _searched(self, recipes: Recipes, goal: Goal, reference: Price, barred: Sequence[Candidate]) -> Champion | None:
        request = self._request
        steps = self._reference.steps
        others = [Candidate(one.sampler, steps) for one in barred]
        parents = {one.key: one for one in [self._reference, *others, *_fewer(self._reference)]}
        cuts = Cuts(self._bench, request.calibration[: request.batch_size])
        search = Search(
            self._bench,
            recipes,
            self._space,
            goal,
            request.calibration,
            list(parents.values()),
            cuts,
            request.generation.seed,
        )
        self._phase("searching", request.trials)

        def told() -> None:
            self._teller.advance(search.tried, request.trials)
            if search.champion is not None and self._leads(search.champion, barred, goal):
                self._note(search.champion.candidate)

        search.run(request.trials, self._is_late(reference), told)
        self._tried = search.tried
        return search.champion

    def _leads(self, champion: Champion, barred: Sequence[Candidate], goal: Goal) -> bool:
        if not barred or not goal.budget.is_ceiling:
            return True
        captions = self._request.calibration
        return champion.value > self._bench.outcome(barred[0], captions).mean(goal.maximize)

    def _companions(
        self, recipes: Recipes, champion: Champion | None, barred: Sequence[Candidate], reference: Price
    ) -> dict[str, list[Candidate]]:
        """Return the cheapest without loss, and the cheapest that is as good as the bar."""
        if self._is_late(reference)():
            return {}
        self._phase("without loss, and as good but faster")
        found: dict[str, list[Candidate]] = {}
        offered = [recipes.stock(one.sampler) for one in barred] + ([champion.recipe] if champion else [])
        cheapest: list[tuple[float, Candidate]] = []
        for recipe in offered:
            count = recipe.fewest(self._lossless)
            if count is not None and recipe.cost(count).seconds < reference.seconds:
                cheapest.append((recipe.cost(count).seconds, recipe.make(count)))
        if cheapest:
            found[LOSSLESS] = [min(cheapest, key=lambda one: one[0])[1]]
        if champion is not None and barred:
            floor = self._bench.outcome(barred[0], self._request.calibration).mean(self._request.maximize)
            count = champion.recipe.fewest(lambda one: self._value(one) >= floor, champion.count)
            if count is not None and count < champion.count:
                found[FASTEST] = [champion.recipe.make(count)]
        return found

    def _value(self, candidate: Candidate) -> float:
        try:
            return self._bench.outcome(candidate, self._request.calibration).mean(self._request.maximize)
        except CandidateError:
            return float("-inf")

    def _lossless(self, candidate: Candidate) -> bool:
        captions = self._request.calibration
        try:
            found = self._bench.outcome(candidate, captions)
        except CandidateError:
            return False
        return is_lossless(found, self._bench.outcome(self._reference, captions))

    def _answer(self, recipes: Recipes, contenders: dict[str, list[Candidate]]) -> Answer:
        request = self._request
        captions = self._in_time(recipes, contenders)
        self._bench.keep(captions[:PICTURES])
        self._phase("judging on held-out prompts", -(-len(captions) // request.batch_size))
        rows = judged(self._bench, contenders, recipes.price, captions, self._teller.advance)
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
                "search_seconds": round(self._clock.elapsed),
                "images_generated": self._bench.images,
            },
        }
        return answered(decided, rows, made_for(self._pipe, request), told, self._records.failures)

    def _in_time(self, recipes: Recipes, contenders: dict[str, list[Candidate]]) -> Sequence[Caption]:
        """Return as many held-out captions as time is left for, and no fewer than a few."""
        request = self._request
        unique = {one.key: one for some in contenders.values() for one in some}.values()
        each = sum(recipes.price(one).seconds for one in unique)
        left = self._clock.left() / max(each * self._slowness, 1e-9)
        whole = len(request.held_out) if left >= len(request.held_out) else int(left)
        return request.held_out[: max(LEAST_HELD_OUT, whole)]


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
