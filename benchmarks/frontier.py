"""Where fewer steps win and where replaying does, on `shapes`: ``python -m benchmarks.frontier --out FOLDER``.

The reference is DDIM-50. Every row generates the same held-out captions from the same noise, 48 at a time; its pictures
are kept in OUT/pictures, so that an interrupted run goes on where it stopped, and a greater --captions only adds.
``--time`` runs the reference and the tuned rows in turns and keeps the least seconds of each; ``--report`` writes
OUT/frontier-gG.json, .md and .png, G the guidance, from whatever rows are there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fdplug import propagate, registry
from fdplug.predict.generation.loading import load_pipeline
from fdplug.shapes.annotations import references

BUDGETS = (25, 20, 16, 14, 12, 10, 8)
REFERENCE = "ddim-50"
TRAILING, LEADING, KARRAS = {"spacing": "trailing"}, {"spacing": "leading"}, {"karras": True}
CHUNK = 48
STOCK: dict[str, tuple[dict[str, Any], ...]] = {
    "ddim": (TRAILING, LEADING),
    "euler": (KARRAS, TRAILING, LEADING),
    "dpm-solver++": (KARRAS, TRAILING, LEADING),
    "dpm-solver++1": (KARRAS, TRAILING, LEADING),
    "deis": (KARRAS, TRAILING, LEADING),
    "unipc": (KARRAS, TRAILING, LEADING),
    "ays": ({},),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to generate the pictures.

    Attributes:
        name: of the row, also its file's.
        family: `stock`, `trunk`, `tuned`, `paper`, `deepcache` or `earlystop`.
        calls: denoiser calls at which everything is computed; those of a prior, too.
        sampler: a sampler's name, or {name: options}.
        steps: of the sampler.
        settings: of `fdplug.propagate`; None: the pipeline as it is.
    """

    name: str
    family: str
    calls: int
    sampler: Any
    steps: int
    settings: dict[str, Any] | None = None


def rows(tuned: Path | None, budgets: Sequence[int] = BUDGETS) -> Iterator[Row]:
    """Yield the reference, then the rows of every budget; tuned ones where a tuned file is given."""
    yield Row(name=REFERENCE, family="reference", calls=50, sampler="ddim", steps=50)
    for calls in budgets:
        yield from _trunk(calls, tuned)
    for name, placements in STOCK.items():
        for placed in placements:
            label = "karras" if placed is KARRAS else placed.get("spacing", "sd")
            for calls in budgets:
                yield Row(
                    name=f"{name}-{label}-{calls}", family="stock", calls=calls, sampler={name: placed}, steps=calls
                )
    yield from _inside(budgets, tuned)
    yield from _early_stop(budgets)


def _early_stop(budgets: Sequence[int]) -> Iterator[Row]:
    """Yield ES-DDPM, three quarters of its calls in the prior: the best of a few shares; and steps left out at the end.

    The prior is the pipeline itself with Euler on Karras levels; the last fifth of a DDIM run follows. Left out are the
    last two of Euler's steps on Karras levels.
    """
    common: dict[str, Any] = {"policy": "all", "injector": "none"}
    for calls in budgets:
        rest = calls // 4
        early = {"strength": 0.2, "steps": calls - rest, "sampler": {"euler": KARRAS}}
        for name, sampler, steps, options in (
            ("earlystop", {"ddim": TRAILING}, 5 * rest, early),
            ("leaveout", {"euler": KARRAS}, calls + 2, {"strength": 1.0, "leave_out": 2}),
        ):
            settings = {**common, "transforms": [{"earlystop": options}]}
            yield Row(
                name=f"{name}-{calls}",
                family="earlystop",
                calls=calls,
                sampler=sampler,
                steps=steps,
                settings=settings,
            )


def _trunk(calls: int, tuned: Path | None) -> Iterator[Row]:
    common: dict[str, Any] = {"part": "trunk", "injector": "none"}
    caches = {"reuse": "reuse", "linear": {"forecast": {}}}
    for label, cache in caches.items():
        settings = {**common, "cache": cache, "policy": {"early": {"count": calls}}}
        yield _ours(f"trunk-early-{label}-{calls}", "trunk", calls, settings)
    if tuned is not None:
        given = {"tuned": {"file": str(tuned), "keys": calls}}
        yield _ours(f"trunk-tuned-{calls}", "tuned", calls, {**common, "cache": given, "policy": given})


def _inside(budgets: Sequence[int], tuned: Path | None) -> Iterator[Row]:
    """Yield the parts that look at the sample or at the time in between: the paper's method, and DeepCache."""
    yield _ours("paper-9", "paper", 9, {"policy": "paper", "injector": "none"})
    for calls in budgets:
        policies: dict[str, Any] = {"uniform": {"uniform": {"count": calls}}}
        if tuned is not None:
            policies["tuned"] = {"tuned": {"file": str(tuned), "keys": calls}}
        for label, policy in policies.items():
            yield _ours(f"paper-{label}-{calls}", "paper", calls, {"policy": policy, "injector": "none"})
            deep = {"policy": policy, "injector": "none", "part": "deepcache"}
            yield _ours(f"deepcache-{label}-{calls}", "deepcache", calls, deep)


def _ours(name: str, family: str, calls: int, settings: dict[str, Any]) -> Row:
    return Row(name=name, family=family, calls=calls, sampler="ddim", steps=50, settings=settings)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    described = argparse.ArgumentParser(prog="python -m benchmarks.frontier", description=__doc__)
    described.add_argument("--out", type=Path, required=True, help="folder for pictures and figures")
    described.add_argument("--captions", type=int, default=192, help="how many of the held-out captions, in id order")
    described.add_argument("--guidance", type=float, default=7.5)
    described.add_argument("--batch", type=int, default=16)
    described.add_argument("--only", nargs="+", default=[""], metavar="START", help="rows whose names begin so")
    described.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), help="denoiser calls")
    described.add_argument("--tuned", type=Path, help="what `fdplug tune --part trunk` wrote, for the tuned rows")
    described.add_argument("--time", type=int, metavar="ROUNDS", help="time the reference and the tuned rows")
    described.add_argument("--report", action="store_true", help="write the figures of the rows that are there")
    return described


def kept(options: argparse.Namespace, row: Row, start: int) -> Path:
    """Return where the pictures of a row for the captions from `start` on are kept."""
    until = min(start + CHUNK, options.captions)
    return options.out / "pictures" / f"{row.name}-g{options.guidance:g}-{start}-{until}.pt"


def starts(options: argparse.Namespace) -> range:
    """Return at which captions the pieces begin in which pictures are kept."""
    return range(0, options.captions, CHUNK)


def seconds_file(options: argparse.Namespace) -> Path:
    """Return where interleaved seconds are kept."""
    return options.out / f"seconds-g{options.guidance:g}.json"


def generate(options: argparse.Namespace, row: Row, first: int) -> None:
    """Generate the pictures of a row for one piece of the captions, with seconds and GFLOPs, unless they are there."""
    path = kept(options, row, first)
    if path.exists():
        return
    record = generated(options, row, first, min(first + CHUNK, options.captions))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(record, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
    print(f"{path.stem}: {record['seconds']:.1f} s", flush=True)


def generated(options: argparse.Namespace, row: Row, first: int, until: int) -> dict[str, Any]:
    """Return the pictures of a row for some of the captions, the processor seconds they took, and GFLOPs per image."""
    pipe = load_pipeline("shapes")
    sampler = registry.build("sampler", row.sampler)
    pipe.scheduler = sampler.fit(pipe.scheduler)
    captions = [record.caption for record in references()[:until]]
    timer = _Timer(pipe.unet)
    started, images = time.process_time(), []
    with nullcontext() if row.settings is None else propagate(pipe, **row.settings) as handle:
        for start in range(first, until, options.batch):
            batch = captions[start : start + options.batch]
            seeds = [torch.Generator().manual_seed(start + index) for index, _ in enumerate(batch)]
            call = {"guidance_scale": options.guidance, "generator": seeds, "output_type": "pt"}
            images.append(pipe(batch, **sampler.arguments(row.steps), **call).images)
        seconds = time.process_time() - started
        gflops = _plain_gflops(pipe, row.steps) if handle is None else handle.ledger.gflops() / len(batch)
    pixels = (torch.cat(images) * 255).round().byte()
    return {"images": pixels, "seconds": seconds, "denoiser": timer.seconds, "gflops": gflops}


def timed(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Run the reference and the tuned rows in turns, a batch of each; keep the denoiser's least seconds per image."""
    least: dict[str, float] = {}
    for _ in range(options.time):
        for row in rows:
            if row.family in ("reference", "tuned"):
                taken = generated(options, row, 0, options.batch)["denoiser"] / options.batch
                least[row.name] = min(taken, least.get(row.name, taken))
    seconds_file(options).write_text(json.dumps(least, indent=1) + "\n")


class _Timer:
    """Adds up the processor seconds inside a network's forward."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.seconds, self._started = 0.0, 0.0
        network.register_forward_pre_hook(self._begin)
        network.register_forward_hook(self._end)

    def _begin(self, *_: Any) -> None:
        self._started = time.process_time()

    def _end(self, *_: Any) -> None:
        self.seconds += time.process_time() - self._started


def _plain_gflops(pipe: Any, steps: int) -> float:
    """Return the GFLOPs per image of a plain run of so many steps, guided: every step costs the same."""
    with propagate(pipe, policy="all", injector="none") as on:
        pipe(["a red circle"], num_inference_steps=2, output_type="latent", guidance_scale=2.0)
        return on.ledger.gflops() * steps / len(on.ledger.steps)


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate what is missing, or write the figures."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(1)
    chosen = list(rows(options.tuned, options.budgets))
    if options.report:
        from benchmarks.frontier_figures import write

        write(options, [row for row in chosen if all(kept(options, row, start).exists() for start in starts(options))])
        return
    if options.time:
        timed(options, chosen)
        return
    for start in starts(options):
        for row in chosen:
            if row.name.startswith(tuple(options.only)):
                generate(options, row, start)


if __name__ == "__main__":
    main()
