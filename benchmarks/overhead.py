"""What propagation itself costs: its own time per denoiser call, and time against GFLOPs on a real U-Net.

    make bench                          the core's costs with pytest-benchmark, beside those of the saved baseline
    python -m benchmarks.overhead       both figures below, written to benchmarks/results/overhead.json

*Own cost*: a tiny U-Net, with and without propagation whose every step is a key step that writes to and reads from the
cache: the same computation plus all of the machinery. Calls of both are interleaved; the difference of the medians is
the machinery. Target: at most 0.5 ms.

*Ratio*: the SD v1.5 U-Net (random weights), serial decoding against baseline, interleaved in one process. Propagation
without any cost of its own has a time ratio equal to its GFLOPs ratio. Target: at most 1.03 times that.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import fdplug
from fdplug.errors import NoEffectWarning
from fdplug.patching import PatchStack, call_patches
from fdplug.policies import AdaptivePolicy, Step
from fdplug.repeated import repeat, whole
from fdplug.testing import latents, tiny_pipeline

RESULTS = Path(__file__).parent / "results" / "overhead.json"


class Always(AdaptivePolicy):
    """Makes every step a key step, the hard way."""

    name = "always"

    def reset(self) -> None:
        """Forget nothing: there is nothing."""

    def is_key(self, step: Step, sample: torch.Tensor) -> bool:
        """Say yes."""
        return True


def call_seconds(pipe: Any, settings: dict[str, Any] | None, **arguments: Any) -> list[float]:
    """Return the seconds of each denoiser call of one run, with propagation where settings are given."""
    seconds: list[float] = []

    def timed(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = original(*args, **kwargs)
        seconds.append(time.perf_counter() - start)
        return result

    handle = fdplug.propagate(pipe, **settings) if settings else None
    outer = PatchStack()
    outer.apply(call_patches(pipe.unet, timed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)
        latents(pipe, **arguments)
    outer.remove()
    if handle:
        handle.remove()
    return seconds


def own_cost(rounds: int = 40) -> dict[str, float]:
    """Return the machinery's milliseconds per denoiser call, on one thread, and those of the calls it is in.

    A round is one run of each, in turn; the median over rounds of the difference of the rounds' medians.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pipe = tiny_pipeline()
    both: list[tuple[float, float]] = []
    for index in range(rounds + 1):
        plain = call_seconds(pipe, None)
        wired = call_seconds(pipe, {"policy": Always(), "injector": "none"})
        if index:
            both.append((statistics.median(plain), statistics.median(wired)))
    torch.set_num_threads(threads)
    difference = statistics.median(wired - plain for plain, wired in both)
    plain_ms = 1e3 * statistics.median(plain for plain, _ in both)
    return {"own_ms_per_call": round(1e3 * difference, 4), "plain_ms_per_call": round(plain_ms, 4)}


def sd15_pipeline() -> Any:
    """Return a pipeline around the SD v1.5 U-Net with random weights."""
    from benchmarks.gflops import SD15

    return tiny_pipeline(**SD15, norm_num_groups=32)


def ratio(size: int = 256, steps: int = 6, rounds: int = 3) -> dict[str, float]:
    """Return time and GFLOPs of serial propagation over those of the baseline, medians of interleaved runs."""
    pipe = sd15_pipeline()
    side = size // 8 * pipe.vae_scale_factor  # the tiny autoencoder shrinks by less than 8
    text = torch.randn(1, 77, 768)
    arguments = {"prompt_embeds": text, "guidance_scale": 1.0, "height": side, "width": side}
    settings = {"policy": {"uniform": {"interval": 2}}, "injector": "none", "decoding": "serial"}
    times: dict[bool, list[float]] = {True: [], False: []}
    for index in range(rounds + 1):
        for wired in (False, True):
            run = call_seconds(pipe, settings if wired else None, prompt=None, num_inference_steps=steps, **arguments)
            if index:
                times[wired].append(sum(run))
    flops = _gflops(pipe, settings, steps, arguments) / _gflops(pipe, {"policy": "all"}, steps, arguments)
    measured = statistics.median(times[True]) / statistics.median(times[False])
    return {
        "size": size,
        "steps": steps,
        "time_ratio": round(measured, 4),
        "gflops_ratio": round(flops, 4),
        "time_over_gflops": round(measured / flops, 4),
        "rounds": rounds,
    }


def _gflops(pipe: Any, settings: dict[str, Any], steps: int, arguments: dict[str, Any]) -> float:
    with fdplug.propagate(pipe, **settings) as on:
        latents(pipe, prompt=None, num_inference_steps=steps, **arguments)
        return on.ledger.gflops()


def hardware() -> dict[str, Any]:
    """Return what the figures were measured on."""
    import diffusers

    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def run_once(pipe: Any, settings: dict[str, Any] | None) -> None:
    """Run the tiny pipeline once, for pytest-benchmark."""
    call_seconds(pipe, settings)


def test_baseline(benchmark: Any) -> None:
    """A run of 10 steps of the tiny pipeline as it is."""
    benchmark(run_once, tiny_pipeline(), None)


def test_every_step_a_key_step(benchmark: Any) -> None:
    """The same computation with all of the machinery."""
    benchmark(run_once, tiny_pipeline(), {"policy": Always(), "injector": "none"})


def test_serial(benchmark: Any) -> None:
    """Every third step is a key step, decoded one by one."""
    benchmark(run_once, tiny_pipeline(), {"policy": {"uniform": {"interval": 3}}, "decoding": "serial"})


def test_parallel(benchmark: Any) -> None:
    """Every third step is a key step, spans decoded at once."""
    benchmark(run_once, tiny_pipeline(), {"policy": {"uniform": {"interval": 3}}, "decoding": "parallel"})


def test_automatic_spans(benchmark: Any) -> None:
    """The same, with spans as long as memory allows: their length is measured in the first run."""
    benchmark(run_once, tiny_pipeline(), {"policy": {"uniform": {"interval": 3}}, "max_span_batch": "auto"})


def test_switching_on_and_off(benchmark: Any) -> None:
    """All wiring of one propagation and its undo."""
    pipe = tiny_pipeline()
    benchmark(lambda: fdplug.propagate(pipe).remove())


@pytest.mark.parametrize("lazy", [False, True], ids=["copied at once", "when joined"])
def test_skip_connections(benchmark: Any, lazy: bool) -> None:
    """What the decoder does with SD v1.5's twelve skip features at 32 x 32 latents, for a span of four steps."""
    shapes = [(320, 32)] * 3 + [(320, 16), (640, 16), (640, 16), (640, 8)] + [(1280, 8)] * 2 + [(1280, 4)] * 3
    skips = [torch.randn(2, channels, side, side) for channels, side in shapes]
    hidden = [torch.randn(8, 320, skip.shape[2], skip.shape[3]) for skip in skips]
    hand_out = repeat if lazy else lambda skip, times: whole(repeat(skip, times))

    def join() -> None:
        features = [hand_out(skip, 4) for skip in skips]
        for one in hidden:
            torch.cat([one, features.pop(0)], dim=1)

    benchmark.pedantic(join, rounds=30, warmup_rounds=10)  # until the allocator has settled


def main() -> None:
    """Measure both figures, print them and keep them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="image size in pixels for the ratio")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds for the ratio, after one to warm up")
    given = parser.parse_args()
    result = {"own_cost": own_cost(), "sd15_serial": ratio(given.size, rounds=given.rounds), "hardware": hardware()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
