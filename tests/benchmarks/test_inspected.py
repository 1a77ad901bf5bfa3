"""Public models from their configurations: as many parameters as are published, and a table of what was counted."""

from __future__ import annotations

import json

import pytest

from benchmarks.inspected import HEAD, RESULTS, page
from fdplug.complexity.inspection import inspect_model
from fdplug.complexity.public_configs import inside, public_configs

# Billions of parameters, as the models' cards and papers round them.
PUBLISHED = {
    "chroma1-hd": 8.9,
    "cogvideox-5b": 5.57,
    "flux.1-dev": 11.9,
    "flux.2-dev": 32.2,
    "hunyuan-video": 12.8,
    "ltx-video-2b": 1.92,
    "pixart-sigma-1024": 0.61,
    "qwen-image": 20.4,
    "sana-1.6b-1024": 1.6,
    "stable-diffusion-3.5-medium": 2.24,
    "stable-diffusion-v1-5": 0.86,
    "stable-diffusion-xl-base-1.0": 2.57,
    "stable-video-diffusion-xt": 1.52,
    "wan2.1-t2v-1.3b": 1.42,
    "wan2.1-t2v-14b": 14.3,
}
QUICK = {"stable-diffusion-v1-5"}
NAMES = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in PUBLISHED]


@pytest.fixture(scope="module")
def rows():
    return {row["name"]: row for row in json.loads((RESULTS / "inspected.json").read_text())["rows"]}


def test_every_configuration_is_in_the_table_and_names_its_source(rows):
    assert list(rows) == public_configs()
    assert set(PUBLISHED) == set(rows) - {"dit-xl-2-256"}  # diffusers gives each block an embedding of its own
    for name in rows:
        held = json.loads((inside() / f"{name}.json").read_text())
        assert rows[name]["source"] == held["_source"]
        assert "/" in held["_source"]
        assert held["_class_name"] == rows[name]["denoiser"]


def test_the_table_is_what_was_counted(rows):
    table = (RESULTS / "inspected.md").read_text()
    assert table == page(list(rows.values()))
    assert table.splitlines()[0] == "| " + " | ".join(HEAD) + " |"
    for row in rows.values():
        shares = {part["name"]: part["gflops"] for part in row["parts"]}
        assert 0.3 < shares["encoder"] < 0.75 < 0.99 < shares["trunk"] < 1


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_has_the_parameters_and_gflops_of_the_table(rows, name):
    found = inspect_model(name)
    assert found.parameters == rows[name]["parameters"]
    assert found.parameters / 1e9 == pytest.approx(PUBLISHED[name], rel=0.01)
    assert found.gflops == pytest.approx(rows[name]["gflops"], rel=1e-6)
