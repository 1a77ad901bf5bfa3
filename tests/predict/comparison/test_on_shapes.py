"""The embedded model through the whole chain, where its weights are there."""

from __future__ import annotations

import json

import pytest

from fdplug import shapes
from fdplug.commands import compare as compare_command
from fdplug.commands import predict

pytestmark = pytest.mark.skipif(
    not (shapes.pipeline_folder() / "unet").is_dir(), reason="the weights of the embedded model are not in this tree"
)


@pytest.mark.filterwarnings("ignore:Frechet distance of")
@pytest.mark.slow
def test_the_embedded_model_is_scored_by_its_own_names(tmp_path):
    out = tmp_path / "out"
    assert compare_command.main(["--limit", "2", "--variants", "ddim-4", "ddim-4+uniform2", "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    for row in results["variants"]:
        assert {"shapes_fd", "shapes_clip", "semantic_accuracy", "semantic_accuracy_se"} <= set(row)
        assert not {"fid", "clip_score"} & set(row)
    assert results["settings"]["guidance"] == shapes.GUIDANCE
    assert any("fewer images than features" in warning for warning in results["warnings"])
    assert "analogues" in (out / "results.md").read_text()


@pytest.mark.slow
def test_a_ready_configuration_runs_as_it_is(tmp_path):
    small = ["--data.limit=66", "--model.steps=10", "--trainer.enable_progress_bar=false"]
    assert predict.main(["--config", "shapes-ddim50", *small, f"--writer.folder={tmp_path}"]) == 0
    values = json.loads((tmp_path / "metrics.json").read_text())
    assert values["semantic_accuracy"] > 0.75
    assert len(list(tmp_path.glob("*.png"))) == 66
