"""A goal: a budget in the numbers of this pipeline, and what is asked of quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fdplug.errors import ConfigError, suggestion
from fdplug.optimization.budget import LOSSLESS_PSNR, Budget
from fdplug.optimization.measuring.outcome import Outcome
from fdplug.optimization.measuring.price import Price


@dataclass(frozen=True)
class Goal:
    """What is looked for.

    Attributes:
        budget: the user's.
        reference: the price of what the user has.
        maximize: what is to be as large as possible within a ceiling of cost: `psnr`, or a score.
    """

    budget: Budget
    reference: Price
    maximize: str = "psnr"

    @classmethod
    def of(cls, budget: Budget, reference: Price, keys: Sequence[str], maximize: str = "psnr") -> Goal:
        """Return the goal; refuse a score that is not measured, and a budget that the settings meet as they are.

        Raises:
            ConfigError: either of these.
        """
        known = ("psnr", *keys)
        for name in (maximize, *(() if budget.is_ceiling or budget.quantity == "lossless" else (budget.quantity,))):
            if name not in known:
                hint = suggestion(name, known, ";")
                raise ConfigError(f"no score '{name}' is measured here{hint} there are {', '.join(known)}")
        goal = cls(budget, reference, maximize)
        if budget.is_ceiling and goal.fits(reference):
            raise ConfigError(
                f"the settings as they are meet the budget {budget.text} already: they take {reference.seconds:.3g} s, "
                f"{reference.calls:g} calls, {reference.gflops:.4g} GFLOPs an image; give less"
            )
        return goal

    def fits(self, price: Price) -> bool:
        """Whether a price is within the ceiling."""
        budget, limit = self.budget, self.budget.seconds(self.reference.seconds)
        if limit is not None:
            return price.seconds <= limit * (1 + 1e-9)
        return getattr(price, budget.quantity) <= budget.amount * (1 + 1e-9)

    def holds(self, outcome: Outcome, reference: Outcome) -> bool:
        """Whether an outcome keeps the floor."""
        return keeps(self.budget, outcome, reference)


def keeps(budget: Budget, outcome: Outcome, reference: Outcome) -> bool:
    """Whether an outcome keeps the floor of a budget."""
    if budget.quantity == "psnr":
        return outcome.mean("psnr") >= budget.amount
    if budget.quantity == "lossless":
        return is_lossless(outcome, reference)
    return outcome.against(reference, budget.quantity).value >= budget.amount


def is_lossless(outcome: Outcome, reference: Outcome) -> bool:
    """Whether nothing can be measured against it: 40 dB to the reference, and no score lower by twice its error."""
    scores = [name for name in outcome.values if name != "psnr"]
    kept = not any(outcome.against(reference, name).is_loss for name in scores)
    return kept and outcome.mean("psnr") >= LOSSLESS_PSNR
