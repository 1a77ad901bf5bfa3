"""`fdplug inspect`: what fdplug makes of a model before its weights are loaded."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence

from fdplug.checks import whole
from fdplug.commands.options.inspect import parser
from fdplug.complexity.inspection import Inspection, PartShare, inspect_model
from fdplug.complexity.proposal import Proposal
from fdplug.complexity.proposal_code import definition

PARTS = ("part", "modules", "features kept", "spans", "parameters", "GFLOPs")


def main(argv: list[str]) -> int:
    """Run `fdplug inspect` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug inspect` with these options."""
    if options.sample_size is not None:
        whole("sample-size", options.sample_size, 1)
    found = inspect_model(options.model, options.sample_size)
    if options.json:
        print(json.dumps(found.as_dict(), indent=2))
    elif options.markdown:
        print("\n".join(_markdown(rows(found))))
    else:
        print("\n".join(lines(found)))
    return 0


def lines(found: Inspection) -> Iterator[str]:
    """Yield what is printed."""
    where = f", {found.component} of {found.pipeline}" if found.pipeline else ""
    yield f"denoiser   {found.denoiser}{where}, {found.parameters:,} parameters"
    if found.proposal is not None:
        yield from _proposed(found.proposal)
        return
    yield f"family     {found.family}"
    yield f"guidance   {found.guidance or 'not said by the family'}"
    yield f"spans      {'step by step: ' + found.one_by_one if found.one_by_one else 'decoded in one batch'}"
    work = (
        f"{found.gflops:,.4g} a pass of one row, {' x '.join(map(str, found.sample))}; a multiply-add counts as one"
        if found.gflops is not None
        else f"not counted: {found.uncounted}"
    )
    yield f"GFLOPs     {work}"
    for name, why in found.rules.items():
        yield f"part       {name}: {f'does not fit, {why}' if why else 'fits'}"
    yield ""
    yield from _aligned([PARTS, *rows(found)[1:]])
    yield ""
    yield _advice(found)


def rows(found: Inspection) -> list[tuple[str, ...]]:
    """Return the cells of the table of parts, its head first."""
    return [PARTS, *(_cells(part, found.one_by_one) for part in found.parts)]


def _cells(part: PartShare, one_by_one: str) -> tuple[str, ...]:
    held = f"{part.modules}: {part.first} to {part.last}"
    spans = "parallel or serial" if part.at_once and not one_by_one else "serial"
    gflops = "not counted" if part.gflops is None else f"{part.gflops:.1%}"
    return (part.name, held, str(part.kept), spans, f"{part.parameters:.1%}", gflops)


def _advice(found: Inspection) -> str:
    most = max(found.parts, key=lambda part: part.parameters if part.gflops is None else part.gflops)
    return f"A replayed step saves most with part={most.name}: propagate(pipe, part='{most.name}', ...)"


def _proposed(proposal: Proposal) -> Iterator[str]:
    yield "family     none knows this class; from its code one could begin with"
    yield ""
    yield from definition(proposal, "NAME", "NAME").splitlines()
    yield ""
    yield "`fdplug new-plugin NAME --kind family --like MODEL` writes it, with a test, to begin from."


def _aligned(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _markdown(cells: Sequence[Sequence[str]]) -> list[str]:
    head, *body = ["| " + " | ".join(row) + " |" for row in cells]
    return [head, "|" + "---|" * len(cells[0]), *body]
