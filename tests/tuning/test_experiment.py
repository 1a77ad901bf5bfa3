"""`python -m benchmarks.tuning`: every candidate is found and judged, and the sentences follow from the numbers."""

from __future__ import annotations

import json
import math
import statistics

import pytest
from rich.console import Console

from benchmarks import tuning
from benchmarks.tuning_judge import Candidate, Judge
from benchmarks.tuning_table import markdown, sentences
from fdplug import registry
from fdplug.predict.data.captions import read_captions
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run
from fdplug.predict.generation.loading import load_pipeline


@pytest.mark.slow
def test_the_whole_experiment_on_a_tiny_model(model, annotations, capsys):
    pytest.importorskip("pymoo")
    given = ["--model", model, "--annotations", annotations, "--steps", "8", "--counts", "2", "--calibration", "1"]
    few = ["--captions", "3", "--batch-size", "2", "--random", "1", "--genetic", "25", "--refine", "4"]
    results = tuning.measure(tuning.filled(tuning.parser().parse_args([*given, *few])), Console(quiet=True))
    rows = {row["name"]: row for row in results["rows"]}
    count = len(rows[next(name for name in rows if name.startswith("the paper's"))]["keys"])
    wanted = [
        "all 8 steps",
        "uniform 2",
        "tuned 2",
        "tuned 2, refined",
        f"tuned {count}, no response",
        f"random {count}, a",
    ]
    assert set(wanted) < set(rows)
    assert any(name.startswith("genetic") for name in rows)
    assert any("equal time" in name or "equal GFLOPs" in name for name in rows)
    assert rows["all 8 steps"]["psnr"] is None
    assert rows[f"tuned {count}"]["runs"] == 8 + 7
    assert rows[f"tuned {count}, no response"]["runs"] == 8
    assert all(row["images"] == 3 for row in rows.values())
    json.dumps(results)
    assert "| tuned 2, refined | 2 |" in markdown(results)


def test_the_judge_compares_image_by_image(model, annotations):
    pipe, captions = load_pipeline(model), read_captions(annotations)[:3]
    pipe.scheduler = registry.build("sampler", "ddim").build(pipe.scheduler.config)
    generation = GenerationConfig(steps=5)
    plain, fast = Candidate("plain", None, 5), Candidate("fast", (0, 3), 5)
    rows = Judge(pipe, generation, model).rows([plain, fast], captions, 2, lambda count: None)
    truth = run(pipe, captions, generation).images.double()
    moved = run(pipe, captions, generation, fast.settings).images.double()
    errors = (moved - truth).square().flatten(1).mean(1).tolist()
    assert rows[1]["psnr"] == pytest.approx(10 * math.log10(255**2 / statistics.fmean(errors)), abs=1e-3)
    assert rows[1]["per_image"]["psnr"] == pytest.approx([10 * math.log10(255**2 / one) for one in errors], abs=2e-3)
    assert rows[0]["psnr"] is None
    assert rows[0]["gflops_per_image"] > rows[1]["gflops_per_image"]


def row(name, keys, psnr, right, steps=50):
    return {
        "name": name,
        "keys": keys,
        "steps": steps,
        "psnr": psnr[0] and statistics.fmean(psnr),
        "images": len(psnr),
        "runs": 3,
        "gflops_per_image": 2.0,
        "feature_distance": [0.001, 0.0001],
        "semantic_accuracy": [statistics.fmean(right), 0.1],
        "semantic_difference": [statistics.fmean(right) - 1, 0.05],
        "per_image": {"psnr": psnr, "features": [0.001] * len(psnr), "semantics": right},
    }


def test_sentences_state_paired_differences_and_the_fewest_key_steps():
    well, badly = [1, 1, 1, 1], [1, 1, 0, 1]
    rows = [
        {**row("all 50 steps", None, [60.0] * 4, well), "psnr": None},
        row("the paper's 2", [0, 1], [30.0, 31, 32, 33], badly),
        row("uniform 2", [0, 25], [32.0] * 4, badly),
        row("uniform 3", [0, 16, 33], [33.0] * 4, well),
        row("tuned 2", [0, 20], [34.0, 35, 36, 37], well),
        row("tuned 2, refined", [0, 21], [34.5, 35.5, 36.5, 37.5], well),
        row("tuned 3", [0, 20, 30], [38.0] * 4, badly),
        row("25 steps (half)", None, [45.0] * 4, well, steps=25),
    ]
    said = list(sentences({"rows": rows, "settings": {}}))
    assert said[0] == (
        "tuned 2 against the paper's 2: +4.00 ±0.00 dB, +0.00 ±0.00 x1000 feature distance,"
        " +25.00 ±25.00 points of semantic accuracy."
    )
    spread = statistics.stdev([2.0, 3, 4, 5]) / 2
    assert f"tuned 2 against uniform 2: +3.50 ±{spread:.2f} dB" in said[1]
    assert "refined against tuned 2: +0.50 ±0.00 dB" in said[2]
    assert said[3] == "tuned: no number of key steps measured here keeps semantic accuracy within 1 point."
    assert "tuned, refined: 2 key steps are the fewest" in said[4]
    assert "uniform: 3 key steps are the fewest" in said[5]
    assert "25 steps (half), 1.00 times the GFLOPs of tuned 2, refined: -9.00" in said[6]
    assert said[6].endswith("fewer steps win.")
