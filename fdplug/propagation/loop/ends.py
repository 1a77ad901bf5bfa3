"""How a run begins and how it ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fdplug.errors import NoEffectWarning, PropagationError, warn
from fdplug.propagation import messages
from fdplug.propagation.decoding import AT_ONCE

if TYPE_CHECKING:
    from torch import nn

    from fdplug.profiling.ledger import Ledger
    from fdplug.propagation.calls.call import Call
    from fdplug.propagation.method import Method
    from fdplug.propagation.run import Run

log = logging.getLogger(__name__)


def open_page(run: Run, ledger: Ledger, uncounted: tuple[str, ...]) -> None:
    """Open a new page of the ledger for a run that begins.

    Args:
        run: the run.
        ledger: where it is written down.
        uncounted: what ran for this image and will not be on the page.
    """
    ledger.reset(run.schedule.num_steps)
    ledger.uncounted = uncounted


def start(run: Run, call: Call, method: Method, network: nn.Module, ledger: Ledger) -> None:
    """Tell whom it concerns that a run begins, or that it has gone over to another denoiser.

    Args:
        run: the run.
        call: the first call, of the denoiser or of a companion.
        method: the plain objects that it works with.
        network: the denoiser.
        ledger: where it is written down.

    Raises:
        PropagationError: its spans cannot be decoded in the way that is insisted on, or the denoiser keeps features
            itself.
    """
    look(run, method, network, ledger)
    method.cache.begin(run.schedule)
    if method.decoding is AT_ONCE:
        return
    if method.family.listed:
        raise PropagationError(messages.rows_listed(network, method.decoding.name))
    method.decoding.begin(run.timesteps, call, method.described(), network, ledger)


def look(run: Run, method: Method, network: nn.Module, ledger: Ledger) -> None:
    """Look at the denoiser before its first pass, and where it has changed since: do its rows see each other.

    Raises:
        PropagationError: it keeps features itself, or its spans cannot be decoded in the way that is insisted on.
    """
    keeper = run.watched.keeper() if method.policy.replays or run.guided is not None else None
    if keeper is not None:
        raise PropagationError(messages.kept_by_another(keeper, type(network).__name__))
    if run.plan.one_by_one:
        return
    coupled = run.watched.couples_rows()
    mixing = f"the rows of a batch see each other, or may do so in {coupled}" if coupled else ""
    why = mixing or method.family.one_by_one(network)
    if why:
        decode_one_by_one(run, method, ledger, why)


def decode_one_by_one(run: Run, method: Method, ledger: Ledger, why: str) -> None:
    """Decode step by step from now on; say why.

    Raises:
        PropagationError: decoding in parallel is insisted on.
    """
    run.plan.one_by_one = True
    if method.insists:
        raise PropagationError(messages.one_by_one(why))
    ledger.one_by_one = why
    log.info("decoded one step at a time: %s", ledger.one_by_one)


def finish(run: Run, method: Method, ledger: Ledger) -> None:
    """Conclude a run that has taken its last step; warn if nothing was replayed and no row left out."""
    method.decoding.finish()
    if run.exchanged:
        ledger.measure()
    for guided in run.guides:
        guided.conclude()
    if run.guides:
        return
    steps = len(ledger.steps)
    if method.policy.replays and len(ledger.key_steps) == steps and not run.replayed:
        warn(messages.nothing_changed(method.policy.name, run.wanted, steps), NoEffectWarning)
