"""What the rows of a guided batch, or the calls of a guided step, stand for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fdplug.errors import PluginError

CONDITIONAL, UNCONDITIONAL, PERTURBED = "conditional", "unconditional", "perturbed"
DIFFUSERS = "diffusers.pipelines."


@dataclass(frozen=True, kw_only=True)
class GuidanceRows:
    """What the predictions of a guided step stand for, in the order in which a pipeline asks for them.

    Attributes:
        order: their names; one of them is `conditional`, the one that guidance is left with when it is off.
        separate: whether each is a call of its own, the conditional one first; otherwise they are equal shares of the
            rows of one call.
        scale: the argument of the pipeline's call that switches guidance on where it is above 1, for pipelines that say
            it no other way than by what they call `do_classifier_free_guidance` or `do_true_cfg`.
        pipelines: how the names of those modules begin whose pipelines are known to do so; empty: all.
    """

    order: tuple[str, ...]
    separate: bool = False
    scale: str = ""
    pipelines: str = ""

    def __post_init__(self) -> None:
        if self.order.count(CONDITIONAL) != 1 or len(set(self.order)) != len(self.order) or len(self.order) < 2:
            raise PluginError(f"the rows of guidance are different and one is '{CONDITIONAL}', got {self.order}")
        if self.separate and self.order[0] != CONDITIONAL:
            raise PluginError(f"of separate calls the first must be the conditional one, got {self.order}")


BATCHED = GuidanceRows(order=(UNCONDITIONAL, CONDITIONAL), pipelines=DIFFUSERS)
SEPARATE = GuidanceRows(order=(CONDITIONAL, UNCONDITIONAL), separate=True, pipelines=DIFFUSERS)
# DiT's formula reads the conditional half first, and its pipeline has no word for whether it guides.
CLASSES_FIRST = GuidanceRows(order=(CONDITIONAL, UNCONDITIONAL), scale="guidance_scale", pipelines=DIFFUSERS)
_EDITED = ("conditional", "image", "unconditional")
# Pipelines of diffusers that order their rows in another way; None: one that differs from call to call.
OTHERS: dict[str, tuple[str, ...] | None] = {
    "StableDiffusionInstructPix2PixPipeline": _EDITED,
    "StableDiffusionXLInstructPix2PixPipeline": _EDITED,
    "CycleDiffusionPipeline": None,
    "LEditsPPPipelineStableDiffusion": None,
    "LEditsPPPipelineStableDiffusionXL": None,
    "SemanticStableDiffusionPipeline": None,
    "StableDiffusionGLIGENTextImagePipeline": None,
    "StableDiffusionPipelineSafe": None,
    "StableDiffusionPix2PixZeroPipeline": None,
}


def known_rows(pipe: Any, usual: GuidanceRows | None) -> GuidanceRows | None:
    """Return what the rows of this pipeline stand for; None where it is not known.

    Args:
        pipe: the pipeline. What counts is the class whose `__call__` it has.
        usual: what those of its family stand for.
    """
    caller = next((one for one in type(pipe).__mro__ if "__call__" in vars(one)), None)
    if usual is None or caller is None or not caller.__module__.startswith(usual.pipelines):
        return None
    order = OTHERS.get(caller.__name__, usual.order)
    return None if order is None else replace(usual, order=order)
