"""The presets of the embedded model, from what was tuned and what the frontier measured.

```bash
python -m benchmarks.frontier.presets --tuned tuned.json --figures benchmarks/results/frontier-g7.5-unseen.json
```
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fdplug.builtin.tuned import Choice, TunedSchedule
from fdplug.presets.preset import FOLDER, Chosen, MadeFor, Preset

NAMES = {"lossless": 25, "balanced": 16, "fast": 10}
"""What a preset is called, and its denoiser calls."""


def main() -> None:
    """Write a preset for each of the names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frontier.presets", description=__doc__)
    parser.add_argument("--tuned", type=Path, required=True, help="what `fdplug tune --part trunk` wrote")
    parser.add_argument("--figures", type=Path, required=True, help="what `benchmarks.frontier` wrote")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), help="which of the presets")
    options = parser.parse_args()
    tuned, figures = TunedSchedule.load(options.tuned), json.loads(options.figures.read_text())
    for name in options.only:
        preset(name, tuned, tuned.curve[NAMES[name] - 1], figures).save(FOLDER / f"shapes-{name}.yaml")


def preset(name: str, tuned: TunedSchedule, choice: Choice, measured: dict[str, Any]) -> Preset:
    """Return the preset of one number of denoiser calls, with its figures."""
    calls, steps = len(choice.keys), len(tuned.timesteps)
    row = next(one for one in measured["rows"] if one["name"] == f"trunk-tuned-{calls}")
    psnr, accuracy, over = row["scores"]["psnr"], row["scores"]["accuracy"], row["against_stock"]["psnr"]
    settings = measured["settings"]
    said = f"{psnr['value']:.1f} ±{psnr['error']:.1f} dB from DDIM-{steps} on {settings['captions']} held-out captions"
    shares = [round(share, 4) for share in choice.shares or ()]
    return Preset(
        about=f"{calls} denoiser calls of the embedded model in place of {steps}: {said}",
        settings=Chosen(
            sampler="ddim",
            steps=steps,
            timesteps=steps,
            guidance=settings["guidance"],
            propagation={
                "part": "trunk",
                "policy": {"explicit": {"steps": list(choice.keys)}},
                "cache": {"damped": {"steps": list(choice.keys), "shares": shares}},
                "injector": "none",
            },
        ),
        made_for=MadeFor(pipeline="StableDiffusionPipeline", model="shapes", denoiser=tuned.denoiser, size=64),
        figures={
            "calls": calls,
            "gflops": round(row["gflops"], 3),
            "psnr": _rounded(psnr),
            "accuracy": _rounded(accuracy),
            "best_stock": {"row": over["row"], "psnr_difference": _rounded(over)},
        },
        circumstances={
            "tuned_on": len(tuned.calibration["images"]),
            "judged_on": settings["captions"],
            "hardware": measured["hardware"],
            "versions": measured["versions"],
        },
        model_card=(
            f"Generated with fdplug's preset shapes-{name}: the denoiser's trunk was computed at {calls} of {steps} "
            f"DDIM steps and forecast at the others; images are {said}."
        ),
        name=f"shapes-{name}",
    )


def _rounded(estimate: dict[str, Any]) -> dict[str, float]:
    return {key: round(float(estimate[key]), 4) for key in ("value", "error")}


if __name__ == "__main__":
    main()
