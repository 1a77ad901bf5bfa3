"""Latency of one image on 1, 2, 4, ... processes that share every span's decoder rows, interleaved.

    torchrun --nproc-per-node 4 -m benchmarks.split_decode                    SD v1.5, 512 x 512, fp16, a GPU each, NCCL
    torchrun --nproc-per-node 2 -m benchmarks.split_decode --device cpu --size small

One image, guided, DDIM-50, the paper's nine key steps (Table 2 of arXiv 2312.09608 has such a figure; how many GPUs of
which kind is not said). Random weights: time does not depend on them. A process on a CPU gets `--threads` threads,
alone or not, and so stands for a device; take no more of them than there are cores. While fewer processes work, the
others wait. Written to benchmarks/results/split_decode_DEVICE_SIZE.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import fdplug
from benchmarks.gflops import SD15
from benchmarks.overhead import hardware
from fdplug.testing import tiny_pipeline

RESULTS = Path(__file__).parent / "results"
SMALL = {**SD15, "block_out_channels": (64, 128, 256, 256), "cross_attention_dim": 64}
# Changes to the tiny U-Net, and the height and width of its latents.
SIZES: dict[str, tuple[dict[str, Any], int]] = {
    "tiny": ({}, 8),
    "small": ({**SMALL, "norm_num_groups": 32}, 16),
    "sd15": ({**SD15, "norm_num_groups": 32}, 64),
}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
GROUP_TIMEOUT = timedelta(minutes=30)


@dataclass
class Variant:
    """One way to make the image; `ranks` processes work on it, 0 stands for the stock pipeline on one."""

    ranks: int
    group: Any
    seconds: list[float] = field(default_factory=list)
    gflops: list[float] = field(default_factory=list)
    received: int = 0
    memory: float = 0.0
    image: Any = None

    @property
    def title(self) -> str:
        """What the table calls it."""
        if not self.ranks:
            return "stock"
        return "propagation, 1 process" if self.ranks == 1 else f"propagation, split over {self.ranks} processes"

    def context(self, pipe: Any) -> AbstractContextManager[Any]:
        """Return the context in which the pipeline makes the image."""
        if not self.ranks:
            return nullcontext()
        decoding = fdplug.split_decode(self.group) if self.ranks > 1 else "parallel"
        return fdplug.propagate(pipe, decoding=decoding)

    def works(self, rank: int) -> bool:
        """Whether this process takes part."""
        return rank < max(1, self.ranks)


def variants(ranks: int) -> list[Variant]:
    """Return the stock pipeline, and 1, 2, 4, ... and all processes; every process must make all the groups."""
    counts = sorted({*(2**power for power in range(ranks.bit_length()) if 2**power <= ranks), ranks})
    groups = {count: dist.new_group(list(range(count)), timeout=GROUP_TIMEOUT) for count in counts}
    return [Variant(0, None), *(Variant(count, groups[count]) for count in counts)]


def pipeline(size: str, dtype: torch.dtype, device: torch.device) -> tuple[Any, Callable[[], torch.Tensor]]:
    """Return a pipeline with random weights, and what makes the latents of one image with it."""
    changes, side = SIZES[size]
    pipe = tiny_pipeline(**changes).to(device)
    if dtype != torch.float32:
        pipe.to(dtype)
    width = pipe.unet.config.cross_attention_dim
    texts = torch.randn(2, 1, 77, width, generator=torch.Generator().manual_seed(1)).to(device, dtype)
    pixels = side * pipe.vae_scale_factor

    def run() -> torch.Tensor:
        return pipe(
            prompt_embeds=texts[0],
            negative_prompt_embeds=texts[1],
            num_inference_steps=50,
            height=pixels,
            width=pixels,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        ).images

    return pipe, run


def timed(variant: Variant, pipe: Any, run: Callable[[], torch.Tensor], device: torch.device) -> float:
    """Make one image; return the seconds, and note everything else with the variant."""
    cuda = device.type == "cuda"
    with variant.context(pipe) as on:
        if cuda:
            torch.cuda.reset_peak_memory_stats(device)
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        variant.image = run()
        if cuda:
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
        variant.memory = torch.cuda.max_memory_allocated(device) / 2**30 if cuda else 0.0
        if on is not None:
            variant.received = on.ledger.received
            variant.gflops = variant.gflops or [on.ledger.gflops()]
    return seconds


def measure(
    found: Sequence[Variant], pipe: Any, run: Callable[[], torch.Tensor], device: torch.device, rounds: int
) -> None:
    """Run every variant once to warm up, then in turns; fill in what was seen."""
    rank = dist.get_rank()
    for index in range(rounds + 1):
        for variant in found:
            dist.barrier()
            if variant.works(rank):
                seconds = timed(variant, pipe, run, device)
                variant.seconds += [seconds] if index else []
    dist.barrier()


def collected(variant: Variant) -> dict[str, Any]:
    """Return one row, with what every process has to say about it."""
    mine = (variant.gflops, None if variant.image is None else variant.image.float().cpu())
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, mine)
    working = everyone[: max(1, variant.ranks)]
    images = [image for _, image in working]
    return {
        "variant": variant.title,
        "processes": max(1, variant.ranks),
        "seconds": [round(one, 4) for one in variant.seconds],
        "median_seconds": round(statistics.median(variant.seconds), 4) if variant.seconds else None,
        "gflops_per_process": [round(one, 2) for gflops, _ in working for one in gflops],
        "received_bytes_per_process": variant.received,
        "peak_memory_gib": round(variant.memory, 3) or None,
        "same_image_on_all": all(torch.equal(image, images[0]) for image in images),
    }


def with_ratios(rows: list[dict[str, Any]], found: Sequence[Variant]) -> list[dict[str, Any]]:
    """Add speed-ups, and how far the image is from that of one process."""
    one = next(index for index, variant in enumerate(found) if variant.ranks == 1)
    for row, variant in zip(rows, found, strict=True):
        row["speedup_to_stock"] = round(rows[0]["median_seconds"] / row["median_seconds"], 3)
        row["speedup_to_one_process"] = round(rows[one]["median_seconds"] / row["median_seconds"], 3)
        if variant.ranks:
            row["largest_difference"] = float((variant.image - found[one].image).abs().max())
    return rows


def table(result: dict[str, Any]) -> str:
    """Write the rows as Markdown."""
    machine = result["hardware"]
    lines = [
        f"{result['title']}, on {machine.get('gpu') or machine['processor']}, torch {machine['torch']}, "
        f"{result['backend']}; medians of {result['rounds']} interleaved rounds.",
        "",
        "| variant | s/image | fastest to slowest | to stock | to 1 process | GFLOPs of each process | received |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        gflops = ", ".join(f"{one:g}" for one in row["gflops_per_process"]) or "-"
        spread = f"{min(row['seconds']):.3f} to {max(row['seconds']):.3f}"
        lines.append(
            f"| {row['variant']} | {row['median_seconds']:.3f} | {spread} "
            f"| {row['speedup_to_stock']:.2f}x | {row['speedup_to_one_process']:.2f}x | {gflops} "
            f"| {row['received_bytes_per_process'] / 1e3:.1f} kB |"
        )
    return "\n".join(lines) + "\n"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=sorted(SIZES), default="sd15", help="the denoiser and its latents")
    parser.add_argument("--dtype", choices=sorted(DTYPES), help="default: fp16 on GPUs, fp32 on CPUs")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds, after one to warm up")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process on a CPU")
    given = parser.parse_args()
    if "LOCAL_RANK" not in os.environ:
        parser.error("start it with torchrun --nproc-per-node 2 -m benchmarks.split_decode")
    if given.device == "cuda" and torch.cuda.device_count() <= int(os.environ["LOCAL_RANK"]):
        parser.error(f"there are {torch.cuda.device_count()} GPUs here; take fewer processes or --device cpu")
    return given


def main() -> None:
    """Measure, print the table and keep it."""
    given = arguments()
    local = int(os.environ["LOCAL_RANK"])
    cuda = given.device == "cuda"
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    torch.set_num_threads(given.threads)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=GROUP_TIMEOUT)
    dtype = given.dtype or ("fp16" if cuda else "fp32")
    pipe, run = pipeline(given.size, DTYPES[dtype], device)
    found = variants(dist.get_world_size())
    measure(found, pipe, run, device, given.rounds)
    rows = [collected(variant) for variant in found]
    if dist.get_rank() == 0:
        machine = {**hardware(), "gpu": torch.cuda.get_device_name(device) if cuda else None}
        result = {
            "title": f"One image, {given.size}, {dtype}, DDIM-50, guided, denoising loop only",
            "backend": dist.get_backend(),
            "rounds": given.rounds,
            "hardware": machine,
            "rows": with_ratios(rows, found),
        }
        place = RESULTS / f"split_decode_{given.device}_{given.size}"
        place.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
        place.with_suffix(".md").write_text(table(result))
        print(table(result))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
