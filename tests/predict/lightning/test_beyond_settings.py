"""Nothing that decides an image is off the record: a run that would go on with any of it changed is refused by name."""

import json

import pytest
import torch
from lightning.pytorch.plugins import Precision

from fdplug.errors import ConfigError
from fdplug.predict.generation.beyond_settings import beyond_settings
from tests.predict.conftest import document, written
from tests.predict.predicting import content, predict

WORDS = ("a red circle", "a green square")


class Coarse(Precision):
    """A precision plugin that says nothing in its name of numbers."""


def _begun(model, tmp_path, **options):
    annotations = written(tmp_path, document(WORDS))
    predict(model, annotations, tmp_path / "out", steps=2, **options)
    return annotations, content(tmp_path / "out")


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ({"precision": "bf16-mixed"}, 'precision none -> "bf16-mixed"'),
        ({"plugins": [Coarse()]}, "precision none -> .*Coarse"),
        ({"deterministic": True}, 'torch none -> .*"deterministic_algorithms": true'),
    ],
    ids=("precision", "precision plugin", "deterministic"),
)
def test_a_trainer_that_changes_images_is_on_record(model, tmp_path, trainer, message):
    annotations, before = _begun(model, tmp_path)
    try:
        with pytest.raises(ConfigError, match=message):
            predict(model, annotations, tmp_path / "out", steps=2, trainer=trainer)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = False
    assert content(tmp_path / "out") == before


def test_the_content_of_a_file_that_an_option_names_is_on_record(tmp_path):
    file = tmp_path / "schedule.json"
    file.write_text("one")
    propagation = {"policy": {"uniform": {"interval": 2}}, "transforms": [{"compile": {"mode": str(file)}}]}
    one = beyond_settings("ddim", propagation)
    file.write_text("other")
    other = beyond_settings("ddim", propagation)
    assert list(one["files"]) == [str(file)]
    assert one != other
    json.dumps(one)


def test_what_is_as_usual_leaves_nothing_to_note():
    assert beyond_settings("ddim", None) == {}
    assert beyond_settings("ddim", {"policy": "paper", "part": "encoder"}) == {}


def test_a_mode_of_torch_is_on_record():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert beyond_settings("ddim", None) == {"torch": {"float32_matmul_precision": "medium"}}
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_plugin_may_say_itself_what_decides_it(monkeypatch):
    from fdplug.policies import Uniform

    monkeypatch.setattr(Uniform, "fingerprint", lambda self: "mine", raising=False)
    found = beyond_settings("ddim", {"policy": {"uniform": {"interval": 2}}})
    assert found == {"fingerprints": {"policy uniform": "'mine'"}}
