"""A row of the support table, read from a system's tiny pipeline and the family that knows its denoiser.

`fdplug families` prints rows that were written down when the conformance tests ran, and tests hold them against these.
"""

from __future__ import annotations

import inspect
from typing import Any

from fdplug.lookup import find_families
from fdplug.testing.systems.system import System


def describe(system: System) -> dict[str, Any]:
    """Return one row, read from the system, the pipeline it builds, and the family that knows its denoiser."""
    pipe = system.make()
    family, denoiser = find_families(pipe)[0]
    part = family.part(denoiser, "encoder")
    return {
        "name": system.name,
        "system": system.title,
        "also": system.also,
        "pipeline": type(pipe).__name__,
        "denoiser": type(denoiser).__name__,
        "family": family.name,
        "encoder": _encoder(family),
        "companions": [one.component for one in part.companions if getattr(pipe, one.component, None) is not None],
        "decoding": "parallel or serial" if system.parallel else "serial",
        "key steps": f"paper: {{system: {system.key_set}}}",
    }


def _encoder(family: Any) -> str:
    """Return what the first sentence of the family's docstring says behind `the encoder is`."""
    sentence = " ".join((inspect.getdoc(family) or "").split("\n\n")[0].split()).removesuffix(".")
    return sentence.partition("the encoder is ")[2].partition(" (paper")[0]
