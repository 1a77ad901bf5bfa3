"""What parallel decoding costs in memory, counted for the real sizes without a GPU and without computing anything.

    python -m benchmarks.span_memory

Each pipeline runs DDIM-50 with the paper's key steps on torch's meta device, where tensors have a shape and no values:
every allocation of the denoising loop is counted for as long as it lives. Attention counts as a fused kernel, which
allocates its result alone. Scratch memory inside kernels and what an allocator rounds up are not seen. Left out are
text encoders and the decoding of latents into pixels. `moved` is what all operations of the loop read and write.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import fdplug
from benchmarks.architectures import ARCHITECTURES, Architecture
from fdplug import trees
from fdplug.caches import Features, Reuse
from fdplug.patching import Patch, PatchStack
from fdplug.profiling.live_memory import LiveMemory, resident
from fdplug.repeated import Repeated, whole

RESULTS = Path(__file__).parent / "results"
META = torch.device("meta")
SYSTEMS = ("sd15", "sdxl", "controlnet")  # DiT keeps the output of one block, and copies nothing that it does not read
GIB = 2**30


class OnMeta(TorchFunctionMode):
    """Lets attention allocate its result alone, as fused kernels do; brings embedded timesteps to the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer attention by an empty result, (..., queries, width of a value)."""
        if func is torch.nn.functional.linear:
            return func(args[0].to(META), *args[1:], **(kwargs or {}))
        if func is torch.nn.functional.scaled_dot_product_attention:
            query, _, value = (args or tuple((kwargs or {}).values()))[:3]
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **(kwargs or {}))


class Traffic(TorchDispatchMode):
    """Sums the bytes that operations read and write; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count what it was given and returned, copies of one row once."""
        if any(issubclass(one, Repeated) for one in types):
            return NotImplemented
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.bytes += sum(_extent(one) for one in trees.leaves((list(args), kwargs or {}, result)))
        return result


def _extent(tensor: Tensor) -> int:
    """Return the bytes that a tensor's elements lie in; what is expanded lies there once."""
    count = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= size if stride else 1
    return count * tensor.element_size()


class CopyAtOnce(Reuse):
    """Writes all copies of a span's features when they are asked for; what `reuse` saves is the difference."""

    name = "copy-at-once"

    def read(self, name: str, steps: Sequence[int]) -> Features:
        """Return plain copies."""
        return tuple(whole(one) for one in super().read(name, steps))


METHODS: dict[str, dict[str, Any] | None] = {
    "stock": None,
    "serial": {"decoding": "serial"},
    "parallel, features copied at once": {"cache": CopyAtOnce()},
    "parallel": {},
    "parallel, max_span_batch: auto": {"max_span_batch": "auto"},
}


def measure(of: Architecture, batch: int, steps: int, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Return a row per method for one pipeline."""
    pipe = of.make("full", "meta", dtype)
    arguments = of.call("full", batch, of.image, "meta", dtype)
    arguments = {**arguments, "output_type": "latent", "num_inference_steps": steps}
    rows: list[dict[str, Any]] = []
    with _timesteps_with_values(pipe.scheduler):
        for name, settings in METHODS.items():
            rows.append({"method": name, **_run(pipe, of, settings, arguments)})
            rows[-1]["over_stock"] = round(rows[-1]["peak_gib"] / rows[0]["peak_gib"] - 1, 4)
    return rows


def _run(pipe: Any, of: Architecture, settings: dict[str, Any] | None, arguments: dict[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {"policy": of.policy, "injector": "none", **(settings or {})}
    context = nullcontext() if settings is None else fdplug.propagate(pipe, **chosen)
    with context as on, torch.no_grad(), OnMeta():
        with Traffic() as traffic, LiveMemory() as memory:
            pipe(**arguments)
        calls = arguments["num_inference_steps"] if on is None else on.ledger.passes("", of.networks[0])
    weights = resident(pipe, META)
    return {
        "calls": calls,
        "weights_gib": round(weights / GIB, 4),
        "peak_gib": round((weights + memory.peak) / GIB, 4),
        "moved_gib": round(traffic.bytes / GIB, 1),
    }


@contextmanager
def _timesteps_with_values(scheduler: Any) -> Iterator[None]:
    """Keep the scheduler's timesteps in host memory, where they have values."""

    def on_host(original: Callable[..., Any], num_inference_steps: int, **kwargs: Any) -> Any:
        return original(num_inference_steps, **{**kwargs, "device": "cpu"})

    patches = PatchStack()
    patches.apply([Patch(scheduler, "set_timesteps", on_host)])
    try:
        yield
    finally:
        patches.remove()


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| pipeline | method | calls | weights GiB | peak GiB | over stock | moved GiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found:
        lines.append(
            f"| {ARCHITECTURES[row['architecture']].title} | {row['method']} | {row['calls']} "
            f"| {row['weights_gib']:.2f} | {row['peak_gib']:.2f} | {row['over_stock']:+.1%} | {row['moved_gib']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Count, print and keep the table."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.span_memory", description=(__doc__ or "").splitlines()[0])
    made.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="NAME")
    made.add_argument("--batch", type=int, default=1, help="images per call")
    made.add_argument("--steps", type=int, default=50, help="steps of DDIM")
    made.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    made.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    given = made.parse_args()
    found = []
    for name in given.systems:
        rows = measure(ARCHITECTURES[name], given.batch, given.steps, getattr(torch, given.dtype))
        found += [{"architecture": name, **row} for row in rows]
    title = f"Counted on shapes alone: {given.dtype}, batch {given.batch}, guided, DDIM-{given.steps}."
    given.out.mkdir(parents=True, exist_ok=True)
    stem = "span-memory" if given.batch == 1 else f"span-memory-batch-{given.batch}"
    (given.out / f"{stem}.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.out / f"{stem}.md").write_text(f"{title}\n\n{table(found)}\n")
    print(f"{title}\n\n{table(found)}")


if __name__ == "__main__":
    main()
