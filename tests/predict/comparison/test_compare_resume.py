"""A comparison that was killed goes on, with its timings; images without numbers are left out."""

from __future__ import annotations

import json

import pytest

from fdplug.commands.compare import main
from fdplug.predict.comparison.checkpoint import ROUNDS, Checkpoint
from fdplug.predict.generation import generate
from tests.predict.conftest import document, written
from tests.predict.killing import run_until

FAST = "{name: fast, sampler: ddim, steps: 4, propagation: {policy: {uniform: {interval: 2}}}}"


def _arguments(model, annotations, out, fast=FAST):
    options = ["--model", model, "--annotations", annotations, "--out", str(out), "--limit", "4"]
    return [
        *options,
        "--batch-size",
        "2",
        "--clip-model",
        "none",
        "--feature-changes",
        "0",
        "--timed-rounds",
        "1",
        "--variants",
        "ddim-4",
        fast,
    ]


FACTS = {
    "key_steps": [0],
    "passes": [[0, 1]],
    "gflops": {"full": 1.0},
    "denoiser_calls": 4,
    "timing": {"seconds": 1.0, "denoiser_seconds": None, "peak_memory_mb": None},
}
LINE = {"variant": "ddim-4", "round": 0, "facts": FACTS}


@pytest.mark.parametrize(
    "line",
    [
        {**LINE, "round": []},
        {**LINE, "variant": {}},
        {**LINE, "facts": {}},
        {**LINE, "facts": {**FACTS, "key_steps": None}},
        {**LINE, "facts": {**FACTS, "gflops": [["full", 1]]}},
        {**LINE, "facts": {**FACTS, "timing": {"seconds": 1.0}}},
        {**LINE, "facts": {**FACTS, "timing": {**FACTS["timing"], "more": 1}}},
    ],
    ids=str,
)
def test_a_round_of_another_form_is_generated_again(line, tmp_path):
    (tmp_path / ROUNDS).write_text(f"{json.dumps(LINE)}\n{json.dumps(line)}\n")
    found = Checkpoint(tmp_path)
    assert found._facts == {("ddim-4", 0): FACTS}
    found.close()


def _rows(out):
    rows = json.loads((out / "results.json").read_text())["variants"]
    return [{key: value for key, value in row.items() if not _timed(key)} for row in rows]


def _timed(key):
    return "seconds" in key or "speedup" in key or "memory" in key or key == "rounds"


def _images(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in out.glob("images/*/*.png")}


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """An uninterrupted comparison, and the annotation file."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(_arguments(model, written(folder, document()), folder / "out")) == 0
    return folder


@pytest.mark.parametrize("operation", [33, *(pytest.param(one, marks=pytest.mark.slow) for one in (14, 45))])
def test_a_killed_comparison_goes_on(model, whole, tmp_path, monkeypatch, operation):
    arguments = _arguments(model, str(whole / "captions.json"), tmp_path / "out")
    assert run_until(lambda: main(arguments), operation)
    lines = tmp_path / "out" / "rounds.jsonl"
    done = [json.loads(line) for line in lines.read_text().splitlines()[:-1]] if lines.is_file() else []
    calls, original = [], generate.call_pipeline
    monkeypatch.setattr(generate, "call_pipeline", lambda p, c, k: (calls.append(len(c)), original(p, c, k))[1])
    assert main(arguments) == 0
    assert _rows(tmp_path / "out") == _rows(whole / "out")
    assert _images(tmp_path / "out") == _images(whole / "out")
    again = {
        row["name"]: row["rounds"] for row in json.loads((tmp_path / "out" / "results.json").read_text())["variants"]
    }
    for one in done:
        if one["facts"]["timing"] is not None:
            assert one["facts"]["timing"] in again[one["variant"]]
    assert len(calls) <= 4 + 2 - len(done)  # four batches, a warm-up of each variant again, less those that were done


def test_a_finished_comparison_is_read_and_not_generated(model, whole, monkeypatch):
    monkeypatch.setattr(generate, "call_pipeline", lambda *a: pytest.fail("something was generated"))
    before = json.loads((whole / "out" / "results.json").read_text())["variants"]
    assert main(_arguments(model, str(whole / "captions.json"), whole / "out")) == 0
    assert json.loads((whole / "out" / "results.json").read_text())["variants"] == before


def test_a_harmed_image_is_generated_again_with_its_batch(model, whole, tmp_path):
    arguments = _arguments(model, str(whole / "captions.json"), tmp_path / "out")
    assert main(arguments) == 0
    path = tmp_path / "out" / "images" / "fast" / "000000000017.png"
    path.write_bytes(path.read_bytes()[:-9])
    assert main(arguments) == 0
    assert _images(tmp_path / "out") == _images(whole / "out")
    assert _rows(tmp_path / "out") == _rows(whole / "out")


def test_every_image_is_in_the_manifest(whole):
    lines = [json.loads(line) for line in (whole / "out" / "manifest.jsonl").read_text().splitlines()]
    assert sorted(line["file"] for line in lines) == sorted(_images(whole / "out"))
    assert {(line["variant"], line["id"]) for line in lines} == {
        (name, identifier) for name in ("ddim-4", "fast") for identifier in (3, 10, 17, 24)
    }
    assert all(line["seconds"] > line["denoiser_seconds"] > 0 for line in lines)


def test_images_without_numbers_are_left_out_of_scores_and_pictures(model, whole, tmp_path, monkeypatch):
    original = generate.call_pipeline

    def call(pipe, captions, generation):
        images = original(pipe, captions, generation)
        for image, caption in zip(images, captions, strict=True):
            if caption.image_id == 10 and generation.steps == 2:
                image[:] = float("nan")
        return images

    monkeypatch.setattr(generate, "call_pipeline", call)
    assert main(_arguments(model, str(whole / "captions.json"), tmp_path / "out", "ddim-2")) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    plain, fast = results["variants"]
    assert (fast["images"], fast["images_not_a_number"]) == (3, 1)
    assert (plain["images"], plain["images_not_a_number"]) == (4, 0)
    assert any("1 of 2 images hold not-a-number" in warning for warning in results["warnings"])
    assert not (tmp_path / "out" / "images" / "ddim-2" / "000000000010.png").exists()
    assert 0 < fast["psnr"] < 100
