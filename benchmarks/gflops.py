"""The GFLOPs column of the paper's Table 1, counted again: Stable Diffusion v1.5 with and without propagation.

    python -m benchmarks.gflops

Builds the U-Net of SD v1.5 from its public config (random weights: FLOPs do not depend on them), counts one forward
pass with fvcore, and multiplies by what a real run's ledger holds. The run itself uses a tiny U-Net of the same layout:
how often each module runs depends on scheduler and key steps only. fvcore counts a multiply-add once. About one minute
and 5 GB of memory on a CPU.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch

import fdplug
from fdplug import registry
from fdplug.profiling.flops import CONVENTIONS, module_flops
from fdplug.profiling.ledger import WHOLE, Ledger
from fdplug.testing import latents, tiny_pipeline

RESULTS = Path(__file__).parent / "results" / "gflops.md"
# runwayml/stable-diffusion-v1-5, unet/config.json
SD15 = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
# Table 1 of arXiv 2312.09608v2, GFLOPs per image
PUBLISHED = {
    ("ddim", 50, "all"): 37050,
    ("ddim", 50, "paper"): 27350,
    ("dpm-solver", 20, "all"): 14821,
    ("dpm-solver", 20, "paper"): 11743,
    ("dpm-solver++", 20, "all"): 14821,
    ("dpm-solver++", 20, "paper"): 11743,
}


def sd15_costs() -> dict[str, Counter[str]]:
    """Return FLOPs by module of one row through the SD v1.5 U-Net, in every convention."""
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel(**SD15).eval()
    inputs = {
        "sample": torch.ones(1, 4, 64, 64),
        "timestep": torch.tensor(1),
        "encoder_hidden_states": torch.ones(1, 77, 768),
    }
    return {convention: module_flops(unet, inputs, convention) for convention in CONVENTIONS}


def run(sampler: str, steps: int, policy: str) -> Ledger:
    """Return the ledger of one guided image."""
    pipe = tiny_pipeline()
    pipe.scheduler = registry.build("sampler", sampler).build(pipe.scheduler.config)
    with fdplug.propagate(pipe, policy=policy, injector="none") as on:
        latents(pipe, num_inference_steps=steps)
        return on.ledger


def price(ledger: Ledger, cost: Counter[str]) -> float:
    """Return what a run with these rows costs on another U-Net of the same layout, in GFLOPs."""
    part = ledger.parts["unet"]
    rest = cost[WHOLE] - sum(cost[name] for name in part)
    return (ledger.rows(WHOLE) * rest + sum(ledger.rows(name) * cost[name] for name in part)) / 1e9


def measure() -> list[dict[str, Any]]:
    """Return one row per published figure."""
    costs = sd15_costs()
    rows = []
    for (sampler, steps, policy), published in PUBLISHED.items():
        ledger = run(sampler, steps, policy)
        counted = {convention: price(ledger, costs[convention]) for convention in CONVENTIONS}
        rows.append(
            {
                "sampler": sampler,
                "steps": steps,
                "key_steps": len(ledger.key_steps),
                "published": published,
                "paper": round(counted["paper"], 1),
                "deviation_percent": round(100 * (counted["paper"] / published - 1), 3),
                "full": round(counted["full"], 1),
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| sampler | steps | key steps | published | paper's convention | deviation | full (honest) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['sampler']} | {row['steps']} | {row['key_steps']} | {row['published']} | {row['paper']:.1f} "
            f"| {row['deviation_percent']:+.3f} % | {row['full']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and keep the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    rows = measure()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(f"GFLOPs per image, Stable Diffusion v1.5, 512 x 512, guidance on.\n\n{table(rows)}\n")
    print(json.dumps(rows, indent=2) if given.json else table(rows))


if __name__ == "__main__":
    main()
