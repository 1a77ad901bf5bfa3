"""The embedded models of the frontier, and the stock samplers that may take fewer steps there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fdplug.shapes import FLOW, GUIDANCE

Options = dict[str, Any]
TRAILING, LEADING, KARRAS = {"spacing": "trailing"}, {"spacing": "leading"}, {"karras": True}
SHIFTED: tuple[Options, ...] = ({}, {"shift": 2.0}, {"shift": 3.0})
ANYWHERE: tuple[Options, ...] = (KARRAS, TRAILING, LEADING)
PUBLISHED: tuple[Options, ...] = ({}, {"solver": "dpm-solver++1"}, {"solver": "euler"})


@dataclass(frozen=True, kw_only=True)
class Testbed:
    """An embedded model, and how it is run where nothing is accelerated.

    Attributes:
        model: its name.
        sampler: of the reference, and of the rows that replay.
        placed: its options: where its steps are.
        steps: of them.
        label: of the reference, in front of rows that replay and in names of files; empty for the model's own run.
        limit: a sampler and its steps, so many that the pictures are those of endlessly many: on eight captions, 200
            steps of this and of other samplers were 59 dB or more from them on `shapes`, and 55 dB on `shapes-flow`.
        guidance: unless another one is asked for.
        budgets: denoiser calls.
        stock: samplers that may take fewer steps, with the places that their steps can have.
        unet: whether DeepCache, the paper's own key steps and early stop have something to work on.
    """

    model: str
    sampler: str
    steps: int
    placed: Options = field(default_factory=dict)
    label: str = ""
    limit: tuple[Any, int]
    guidance: float
    budgets: tuple[int, ...]
    stock: Mapping[str, tuple[Options, ...]]
    unet: bool

    @property
    def reference(self) -> str:
        """The name of the row that PSNR is against."""
        place = f"{_place(self.sampler, self.placed)}-" if self.placed else ""
        return f"{self.sampler}-{place}{self.steps}"

    @property
    def parent(self) -> Any:
        """The sampler of the reference, as the registry takes it."""
        return {self.sampler: self.placed} if self.placed else self.sampler

    @property
    def stem(self) -> str:
        """How names of files begin."""
        return "-".join(filter(None, ("frontier", "" if self.unet else self.model, self.label)))

    def samplers(self) -> Iterator[tuple[str, Options]]:
        """Yield every stock sampler with a place for its steps, by a name that says both."""
        for name, placements in self.stock.items():
            for placed in placements:
                yield f"{name}-{_place(name, placed)}", {name: placed}


def _place(name: str, placed: Options) -> str:
    if "shift" in placed:
        return f"shift{placed['shift']:g}"
    if placed is KARRAS:
        return "karras"
    return placed.get("spacing", placed.get("solver", "sd" if name == "ays" else "own"))


TESTBEDS = {
    "shapes": Testbed(
        model="shapes",
        sampler="ddim",
        steps=50,
        limit=({"dpm-solver++": KARRAS}, 100),
        guidance=7.5,
        budgets=(25, 20, 16, 14, 12, 10, 8),
        stock={
            "ddim": (TRAILING, LEADING),
            **dict.fromkeys(("euler", "dpm-solver++", "dpm-solver++1", "deis", "unipc"), ANYWHERE),
            "ays": PUBLISHED,
        },
        unet=True,
    ),
    FLOW: Testbed(
        model=FLOW,
        sampler="flow-euler",
        steps=28,
        limit=("flow-unipc", 100),
        guidance=GUIDANCE,
        budgets=(20, 14, 12, 10, 8, 6),
        stock={"flow-euler": (*SHIFTED, KARRAS), "flow-dpm++": SHIFTED, "flow-unipc": SHIFTED},
        unet=False,
    ),
}

OTHERS = {
    "dpm-solver++": replace(
        TESTBEDS["shapes"],
        sampler="dpm-solver++",
        placed=KARRAS,
        steps=20,
        label="dpm20",
        budgets=(16, 14, 12, 10, 8),
    ),
}
"""References beside the model's own: 20 steps of DPM-Solver++ on Karras levels, what many run Stable Diffusion with."""
