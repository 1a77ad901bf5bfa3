"""Which scores a comparison computes, and that the models behind them are shared."""

from __future__ import annotations

import pytest
from PIL import Image

from fdplug.errors import ConfigError
from fdplug.predict.comparison.scoring import Scoring, chosen
from fdplug.predict.data.captions import read_captions
from tests.metrics.conftest import vit_folder  # noqa: F401  a fixture


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
    scoring = Scoring(["fid", "is"], read_captions(annotations), tmp_path, [], "none", extractor=vit_folder)
    read = []
    make = scoring.load("cpu", read.append, (16, 16))
    (first, classes), (second, _) = make(), make()
    assert sum(read) == scoring.num_references == 5
    assert first is not second
    assert first.extractor is second.extractor is classes.extractor
    assert first.distance.generated is not second.distance.generated
