"""How much each block's output changes from one denoising step to the next: why features can be propagated at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from fdplug.denoisers.blocks import entering, find_blocks, labels, listening, main_tensor
from fdplug.lookup import find_families
from fdplug.predict.generation.generate import run

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.comparison.variant_run import VariantRun
    from fdplug.predict.data.captions import Caption


class Changes:
    """Relative changes |f_t - f_(t-1)| / |f_(t-1)| of features, mean over the rows; only the last features are kept."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}
        self.inputs: dict[str, tuple[int, ...]] = {}
        self._before: dict[str, Tensor] = {}

    def hear(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Take the output of block `name` at the next step."""
        features = main_tensor(output).detach().float().flatten(1)
        if name in self._before:
            before = self._before[name]
            change = torch.linalg.vector_norm(features - before, dim=1) / torch.linalg.vector_norm(before, dim=1)
            self.found[name].append(change.mean().item())
        else:
            self.found[name], self.inputs[name] = [], tuple(entering(args, kwargs).shape)
        self._before[name] = features.clone()


def measure(pipe: Any, captions: Sequence[Caption], variant_run: VariantRun) -> dict[str, Any] | None:
    """Generate images un-accelerated and return every block's changes, ready for json.

    None where a run goes through two denoisers, and where blocks run more or less often than there are timesteps: their
    calls are then not the steps of one run.

    Args:
        pipe: the pipeline; its scheduler is put back.
        captions: all in one batch.
        variant_run: whose scheduler and generation are taken.
    """
    (family, network), *others = find_families(pipe)
    if others:
        return None
    scheduler, changes = pipe.scheduler, Changes()
    blocks = find_blocks(network, family.part(network, "encoder"))
    pipe.scheduler = variant_run.scheduler
    try:
        with listening(network, [block.name for block in blocks], changes.hear):
            run(pipe, captions, variant_run.generation)
    finally:
        pipe.scheduler = scheduler
    steps = len(variant_run.scheduler.timesteps)
    if steps < 2 or any(len(found) != steps - 1 for found in changes.found.values()) or not changes.found:
        return None
    names = labels(blocks, changes.inputs)
    return {
        "variant": variant_run.variant.name,
        "steps": steps,
        "note": f"{variant_run.variant.name}, {len(captions)} captions: by how much every block's output changes from"
        " one step to the next, as the norm of the change over the norm before; mean over the images and both halves of"
        " guidance.",
        "blocks": [
            {"name": block.name, "label": names[block.name], "half": block.half, "change": changes.found[block.name]}
            for block in blocks
        ],
    }


def longest_plain(variant_runs: Sequence[VariantRun]) -> VariantRun | None:
    """Return the un-accelerated run of the most steps; None if every one is propagated."""
    plain = [variant_run for variant_run in variant_runs if variant_run.variant.propagation is None]
    return max(plain, key=lambda variant_run: variant_run.generation.resolved_steps, default=None)
