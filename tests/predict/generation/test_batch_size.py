"""Out of memory: batches are halved, and the images stay the same."""

from __future__ import annotations

import pytest
import torch

from fdplug.config import PropagationConfig
from fdplug.errors import FdplugWarning, PipelineError
from fdplug.predict.generation import generate
from fdplug.predict.generation.batch_size import ShrinkingBatch
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run
from tests.predict.conftest import document, opened, written
from tests.predict.generation.test_generate import CAPTIONS
from tests.predict.predicting import predict, records

LOOK = GenerationConfig(steps=4, guidance=4.0, seed=5)
UNIFORM = PropagationConfig(policy={"uniform": {"interval": 2}})
OUT = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines.")


@pytest.fixture
def small(monkeypatch):
    """A machine with memory for three images; returns how many each call was asked for."""
    asked, original = [], generate.call_pipeline

    def call(pipe, captions, generation):
        asked.append(len(captions))
        if len(captions) > 3:
            raise OUT
        return original(pipe, captions, generation)

    monkeypatch.setattr(generate, "call_pipeline", call)
    return asked


@pytest.mark.parametrize(
    "propagate", [None, PropagationConfig(policy={"uniform": {"interval": 2}})], ids=["plain", "propagated"]
)
def test_images_are_the_same_in_halves(loaded, small, propagate):
    batch = ShrinkingBatch()
    with pytest.warns(FdplugWarning, match="out of memory with 7 images at once, going on with 3 .CUDA out of memory"):
        done = batch.generate(CAPTIONS[:7], lambda some: run(loaded, some, LOOK, propagate))
    assert small == [7, 3, 3, 1]
    singles = torch.cat([run(loaded, [caption], LOOK, propagate).images for caption in CAPTIONS[:7]])
    assert (done.images.int() - singles.int()).abs().max() <= 1
    assert done.finite.all()
    assert done.in_ledger == 1
    small.clear()
    batch.generate(CAPTIONS[:6], lambda some: run(loaded, some, LOOK, propagate))
    assert small == [3, 3]


def test_costs_add_up(loaded, small):
    settings = UNIFORM
    with pytest.warns(FdplugWarning):
        done = ShrinkingBatch().generate(CAPTIONS[:4], lambda some: run(loaded, some, LOOK, settings))
    assert small == [4, 2, 2]
    assert done.in_ledger == 2
    assert done.gflops() == pytest.approx(run(loaded, CAPTIONS[:1], LOOK, settings).gflops())
    assert done.seconds > done.denoiser_seconds > 0


def test_no_room_for_one_image_is_an_error_that_says_what_to_do(loaded, monkeypatch):
    monkeypatch.setattr(generate, "call_pipeline", lambda *a: (_ for _ in ()).throw(OUT))
    with pytest.raises(PipelineError, match="out of memory with a single image: a smaller size, dtype float16"):
        ShrinkingBatch().generate(CAPTIONS[:1], lambda some: run(loaded, some, LOOK))


@pytest.mark.parametrize(
    ("error", "halved"),
    [
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_every_kind_of_memory_is_known_and_other_errors_pass(loaded, monkeypatch, error, halved):
    original = generate.call_pipeline
    monkeypatch.setattr(
        generate, "call_pipeline", lambda p, c, k: original(p, c, k) if len(c) == 1 else (_ for _ in ()).throw(error)
    )
    if halved:
        with pytest.warns(FdplugWarning, match="going on with 1"):
            assert len(ShrinkingBatch().generate(CAPTIONS[:2], lambda some: run(loaded, some, LOOK)).images) == 2
    else:
        with pytest.raises(RuntimeError, match="mat1"):
            ShrinkingBatch().generate(CAPTIONS[:2], lambda some: run(loaded, some, LOOK))


def test_a_prediction_goes_on_with_halves(model, tmp_path, monkeypatch):
    annotations = written(tmp_path, document())
    predict(model, annotations, tmp_path / "roomy")
    original = generate.call_pipeline
    monkeypatch.setattr(
        generate, "call_pipeline", lambda p, c, k: original(p, c, k) if len(c) == 1 else (_ for _ in ()).throw(OUT)
    )
    with pytest.warns(FdplugWarning, match="out of memory with 2 images at once, going on with 1"):
        predict(model, annotations, tmp_path / "small")
    assert len(records(tmp_path / "small")) == 5
    for path in (tmp_path / "roomy").glob("*.png"):
        assert abs(opened(path).astype(int) - opened(tmp_path / "small" / path.name)).max() <= 1


def _spoiled(ids):
    """Pipeline calls whose images of these ids hold a number that is none."""
    original = generate.call_pipeline

    def call(pipe, captions, generation):
        images = original(pipe, captions, generation)
        for image, caption in zip(images, captions, strict=True):
            if caption.image_id in ids:
                image[0, 0, 0] = float("nan")
        return images

    return call


@pytest.mark.parametrize("ids", [{3, 10}, {3, 10, 17, 24, 31}])
def test_images_without_numbers_are_counted_and_not_saved(model, tmp_path, monkeypatch, capsys, ids):
    from tests.predict.predicting import content, numbers

    annotations = written(tmp_path, document())
    monkeypatch.setattr(generate, "call_pipeline", _spoiled(ids))
    with pytest.warns(FdplugWarning, match="hold not-a-number; try dtype float32"):
        predict(model, annotations, tmp_path / "out")
    statuses = {record["id"]: (record["status"], record["file"]) for record in records(tmp_path / "out")}
    assert {key for key, value in statuses.items() if value == ("not a number", None)} == ids
    assert {int(name[:12]) for name in content(tmp_path / "out")} == {3, 10, 17, 24, 31} - ids
    values = numbers(tmp_path / "out")
    assert (values["images"], values["images_not_a_number"]) == (5 - len(ids), len(ids))
    assert f"{len(ids)} images hold not-a-number and have no file: {min(ids)}" in capsys.readouterr().out
    monkeypatch.setattr(generate, "call_pipeline", lambda *a: pytest.fail("something was generated again"))
    predict(model, annotations, tmp_path / "out")
    assert numbers(tmp_path / "out") == values
