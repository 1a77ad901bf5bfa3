"""Whether the U-Net of `shapes` extrapolates to larger pictures: ``python -m benchmarks.shapes_curve.sizes --out F``.

It was trained on 64 x 64 pixels. Larger pictures start from noise of their own size; for the evaluators, which take
64 x 64, they are made smaller by averaging. OUT/sizes.md, .json and .png show what comes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fdplug import registry
from fdplug.files.text_tables import markdown_table
from fdplug.predict.generation.loading import load_pipeline
from fdplug.scores.uncertainty import Estimate, mean, share
from fdplug.shapes import evaluators
from fdplug.shapes.annotations import Reference, references
from fdplug.shapes.drawing import SIZE, draw

SIZES = (64, 96, 128)
SHOWN = 6
NAMES = ("layout", "background", "fill", "colour", "shape", "all")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    described = argparse.ArgumentParser(prog="python -m benchmarks.shapes_curve.sizes", description=__doc__)
    described.add_argument("--out", type=Path, required=True, help="folder for the figures and the picture")
    described.add_argument("--captions", type=int, default=24, help="how many of the held-out captions, in id order")
    described.add_argument("--guidance", type=float, default=7.5)
    described.add_argument("--steps", type=int, default=16, help="of Euler on Karras levels")
    return described


def generated(captions: Sequence[str], size: int, options: argparse.Namespace) -> Tensor:
    """Pictures (N, 3, size, size) in [0, 1] of captions."""
    pipe = load_pipeline("shapes")
    pipe.scheduler = registry.build("sampler", {"euler": {"karras": True}}).fit(pipe.scheduler)
    seeds = [torch.Generator().manual_seed(index) for index, _ in enumerate(captions)]
    call: dict[str, Any] = {"height": size, "width": size, "generator": seeds, "output_type": "pt"}
    return pipe(list(captions), num_inference_steps=options.steps, guidance_scale=options.guidance, **call).images


def smaller(images: Tensor) -> Tensor:
    """The pictures at the evaluators' size, by averaging."""
    return nn.functional.interpolate(images, (SIZE, SIZE), mode="area")


def judged(images: Tensor, records: Sequence[Reference], judges: evaluators.Evaluators) -> dict[str, dict[str, float]]:
    """What of the captions the pictures show, and the cosine of picture and caption."""
    texts, small = [record.caption for record in records], smaller(images)
    right = judges.semantics(small, texts)
    found = {name: share(right[name]) for name in NAMES} | {"clip": mean(judges.clip_score(small, texts))}
    return {name: _plain(one) for name, one in found.items()}


def _plain(one: Estimate) -> dict[str, float]:
    return {"value": round(one.value, 4), "error": round(one.error, 4)}


def table(rows: dict[str, dict[str, dict[str, float]]]) -> str:
    """The figures as Markdown."""
    heads = ("pictures", *("all right" if name == "all" else name for name in NAMES), "shapes-CLIP")
    body = [[name, *(f"{one['value']:.3f} ±{one['error']:.3f}" for one in row.values())] for name, row in rows.items()]
    return markdown_table(heads, body) + "\n"


def sheet(pictures: dict[str, Tensor], path: Path) -> None:
    """A row for each size, a column for each caption, every picture at its own number of pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 * SHOWN, 1.7 * len(pictures)), layout="constrained")
    FigureCanvasAgg(figure)
    for line, (name, images) in zip(figure.subplots(len(pictures), SHOWN), pictures.items(), strict=True):
        for axes, image in zip(line, images[:SHOWN], strict=True):
            axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=9)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate every size, judge it and write what comes."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(1)
    records = references()[: options.captions]
    drawn = torch.stack([torch.from_numpy(np.array(draw(one.scene))) for one in records]).permute(0, 3, 1, 2) / 255
    pictures = {"drawn": drawn}
    for size in SIZES:
        pictures[f"{size} x {size}"] = generated([one.caption for one in records], size, options)
    judges = evaluators.load()
    rows = {name: judged(images, records, judges) for name, images in pictures.items()}
    options.out.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(options, name) for name in ("captions", "guidance", "steps")}
    (options.out / "sizes.json").write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n")
    (options.out / "sizes.md").write_text(table(rows))
    sheet(pictures, options.out / "sizes.png")
    print(table(rows), end="")


if __name__ == "__main__":
    main()
