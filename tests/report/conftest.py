"""A finished comparison made by hand: four variants, three captions of which one is hostile, small random pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

HOSTILE = '</script><script>document.title="hacked"</script><img src="http://evil.example/x.png" onerror="alert(1)">'
CAPTIONS = ["a red circle", HOSTILE, "a «blue» square & 'more'"]
IDS = [3, 10, 4711]
SIZE = 24


def row(name, keys, total, seconds, gflops, against=None, **values):
    """A row of results.json; spans of a propagated one are decoded in one pass."""
    propagated = len(keys) < total or name == "same"
    ends = [*keys[1:], total]
    return {
        "name": name,
        "sampler": "ddim",
        "steps": total,
        "guidance": 4.0,
        "propagate": {"policy": "paper"} if propagated else None,
        "num_key_steps": len(keys),
        "key_steps": list(keys),
        "passes": [[key, end - key] for key, end in zip(keys, ends, strict=True)],
        "denoiser_calls": total,
        "images": 3,
        "compared_with": against,
        "psnr": None,
        "ssim": None,
        "identical": None,
        "gflops_per_image": gflops,
        "gflops_per_image_paper_convention": gflops,
        "denoiser_seconds_per_image": seconds * 0.9,
        "seconds_per_image": seconds,
        "peak_memory_mb": None,
        "speedup": 2.0 / seconds,
        "denoiser_speedup": 2.0 / seconds,
        "rounds": [],
        **values,
    }


def results():
    """What a comparison would have written."""
    return {
        "created": "2030-01-02T03:04:05+00:00",
        "hardware": {"device": "cpu", "cpu": "A CPU", "cores": 2, "torch_threads": 1, "system": "Linux"},
        "versions": {"python": "3.11", "fdplug": "0.1.0", "torch": "2.13"},
        "hashes": {"unet": "0123456789abcdef"},
        "settings": {
            "model": "m/<b>model</b>",
            "seed": 7,
            "scores": [],
            "image_ids": list(IDS),
            "timed_rounds": 1,
            "timed_batch": 3,
            "pipeline": "StableDiffusionPipeline",
        },
        "captions": list(CAPTIONS),
        "variants": [
            row("ddim-10", range(10), 10, 2.0, 10.0, fid=20.0),
            row(
                "fast",
                (0, 1, 5),
                10,
                1.0,
                7.0,
                "ddim-10",
                fid=21.5,
                psnr=30.0,
                psnr_se=0.456,
                ssim=0.9,
                identical=False,
            ),
            row("same", range(10), 10, 2.1, 10.0, "ddim-10", fid=20.0, ssim=1.0, identical=True),
            row("ddim-5", range(5), 5, 1.05, 5.0, "ddim-10", fid=20.5, psnr=33.0, ssim=0.95, identical=False),
        ],
        "published": {
            "title": "Table 0",
            "head": ["variant", "FID, published"],
            "body": [["ddim-10", "21.75"]],
            "notes": ["different models"],
        },
        "drift": {
            "variant": "ddim-10",
            "steps": 10,
            "note": "how features change",
            "blocks": [
                {"name": f"down_blocks.{index}", "label": f"E{index}", "half": half, "change": [0.1 * index + 0.05] * 9}
                for index, half in enumerate(("encoder", "encoder", "bottleneck", "decoder"))
            ],
        },
        "equal_time": ["In no more time than fast, ddim-5: FID 20.50 against 21.50."],
        "notes": ["GFLOPs count a multiply-add once."],
        "warnings": ["few images"],
    }


def make_folder(folder, content=None):
    """Write results and pictures; those of `same` equal those of `ddim-10` byte for byte."""
    content = results() if content is None else content
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(content))
    for name, seed in (("ddim-10", 0), ("fast", 1), ("same", 0), ("ddim-5", 2)):
        draw = np.random.default_rng(seed)
        (folder / "images" / name).mkdir(parents=True, exist_ok=True)
        for image_id in IDS:
            pixels = draw.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{image_id:012d}.png")
    return folder


@pytest.fixture
def folder(tmp_path):
    """A fresh folder, without a report."""
    return make_folder(tmp_path)


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """A folder with its report and voting page; tests leave it as it is."""
    from fdplug.report.write import Choices, write

    folder = make_folder(tmp_path_factory.mktemp("reported"))
    write(folder, Choices(pairs=6))
    return folder


def answers(folder, choose, voter="00000001", **changes):
    """Votes as exported: `choose(pair)` says `variant`, `against` or `same`; the variant is always on the left."""
    key = json.loads((folder / "vote_key.json").read_text())
    choice = {"variant": "left", "against": "right", "same": "same"}
    votes = [
        {"pair": pair["id"], "left": pair["pictures"][0], "right": pair["pictures"][1], "choice": choice[choose(pair)]}
        for pair in key["pairs"]
    ]
    return {"format": "fdplug-votes-1", "study": key["study"], "voter": voter, "votes": votes, **changes}


def reference_front(points):
    """The points (cost, loss) to which no other is at least equal in both and better in one, by cost."""
    return sorted(
        (cost, loss)
        for cost, loss in points
        if not any(one <= cost and other <= loss and (one, other) != (cost, loss) for one, other in points)
    )
