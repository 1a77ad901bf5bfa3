"""Which scores a comparison computes, and that the models behind them are shared."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from fdplug.errors import ConfigError
from fdplug.predict.comparison.scoring import Networks, Scoring, built, chosen, parse_scores
from fdplug.predict.data.captions import read_captions
from fdplug.scores import BASELINE, MeanScore, Number
from fdplug.testing import registered
from tests.predict.conftest import opened
from tests.scores.conftest import vit_folder  # noqa: F401  a fixture


def test_which_scores_are_chosen():
    assert chosen("auto", "shapes", None, "x") == ["shapes"]
    assert chosen("auto", "a/b", None, "x") == ["clip"]
    assert chosen("auto", "a/b", "folder", "none") == ["fid"]
    assert chosen("none", "shapes", None, "x") == []
    assert chosen("clip,fid", "shapes", None, "x") == ["clip", "fid"]
    with pytest.raises(ConfigError, match="no score 'clop', did you mean 'clip'"):
        chosen("clop", "shapes", None, "x")
    with pytest.raises(ConfigError, match="the score 'none' stands alone"):
        chosen("clip,none", "shapes", None, "x")


def test_variants_share_models_and_have_scores_of_their_own(annotations, tmp_path, vit_folder):  # noqa: F811
    for index in range(5):
        Image.new("RGB", (20, 24), (40 * index, 9, 9)).save(tmp_path / f"{index}.png")
    scoring = Scoring(["fid", "is"], read_captions(annotations), tmp_path, [], Networks(extractor=vit_folder))
    read = []
    make = scoring.load("cpu", read.append, (16, 16))
    (first, classes, _), (second, _, _) = make().scores, make().scores
    assert sum(read) == scoring.num_references == 5
    assert first is not second
    assert first.network is second.network is classes.network
    assert first.distance.generated is not second.distance.generated


class Bright(MeanScore):
    """How much brighter images are than the baseline's."""

    name = "bright"
    numbers = (Number("brighter", "brighter by", higher_is_better=True, digits=1),)
    needs = frozenset({BASELINE})

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def values(self, batch):
        images, baseline = batch.pairs()
        return {"brighter": self.scale * (images.double() - baseline.double()).mean((1, 2, 3))}


def test_names_numbers_and_mappings_are_read():
    assert parse_scores("clip, fid,clip") == ["clip", "fid"]
    assert parse_scores("psnr,ssim,fidelity") == ["fidelity"]
    assert parse_scores("clip,{lpips: {net: vgg}}") == ["clip", {"lpips": {"net": "vgg"}}]
    with pytest.raises(ConfigError, match=r"cannot read the scores '{clip': .*; write names with commas between"):
        parse_scores("{clip")
    with pytest.raises(ConfigError, match="net must be one of alex, vgg, squeeze; got 'v'"):
        built(parse_scores("{lpips: {net: v}}"), Networks())


def test_options_of_the_command_line_reach_the_scores_that_have_them():
    networks = Networks(extractor="a/vit", clip="a/clip", allow_pickle=True)
    fid, clip, fidelity = built(["fid", "clip", "fidelity"], networks).scores
    assert (fid.extractor, fid.allow_pickle) == ("a/vit", True)
    assert (clip.model, clip.allow_pickle) == ("a/clip", True)
    assert fidelity.means == ("psnr", "ssim")
    assert built([{"fid": {"extractor": "b/vit"}}], networks).scores[0].extractor == "b/vit"


def test_a_plugin_s_score_is_compared_evaluated_and_shown(model, annotations, tmp_path):
    """From its class alone: the number of `compare` is that of its images, and `evaluate` says the same."""
    from fdplug.commands import compare, evaluate

    out = tmp_path / "out"
    with registered("score", Bright):
        arguments = ["--model", model, "--annotations", annotations, "--limit", "3", "--batch-size", "2"]
        options = [
            "--out",
            str(out),
            "--feature-changes",
            "0",
            "--timed-rounds",
            "1",
            "--scores",
            "{bright: {scale: 2}}",
        ]
        assert compare.main([*arguments, *options, "--variants", "ddim-4", "ddim-2"]) == 0
        row = json.loads((out / "results.json").read_text())["variants"][1]
        plain, own = (
            np.stack([opened(one) for one in sorted((out / "images" / name).iterdir())])
            for name in ("ddim-4", "ddim-2")
        )
        expected = 2 * (own.astype(float) - plain).mean()
        assert row["brighter"] == pytest.approx(expected)
        assert f"| {expected:.1f} |" in (out / "results.md").read_text()
        assert "brighter by" in (out / "report.html").read_text()
        folders = [str(out / "images" / "ddim-2"), "--baseline", str(out / "images" / "ddim-4"), "--device", "cpu"]
        found = evaluate.evaluate(evaluate.parser().parse_args([*folders, "--scores", "bright"]), Console(quiet=True))
        assert found[1]["brighter"] == pytest.approx(expected / 2)
