"""Lines where there is no terminal, two bars where there is one."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from fdplug.predict.lightning.callbacks.progress_bar import ImageBar
from tests.predict.predicting import predict


def _shown(model, annotations, folder, terminal, every=0.0):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, legacy_windows=False)
    bar = ImageBar(console, every)
    predict(model, annotations, folder, [bar], trainer={"enable_progress_bar": True}, steps=2)
    return console.file.getvalue()


def test_there_is_a_line_now_and_then_without_a_terminal(model, annotations, tmp_path):
    text = _shown(model, annotations, tmp_path / "often", terminal=False)
    assert "\r" not in text
    assert "\x1b" not in text
    lines = text.splitlines()
    assert [line.split(" images,")[0] for line in lines] == ["2 of 5", "4 of 5", "5 of 5"]
    assert all(re.fullmatch(r"\d of 5 images, \d+\.\d\d images/s, \d:\d\d:\d\d left", line) for line in lines)
    assert (
        _shown(model, annotations, tmp_path / "rare", terminal=False, every=1000).splitlines()[0].startswith("5 of 5")
    )


def test_what_an_earlier_run_generated_is_counted_but_not_in_the_pace(model, annotations, tmp_path):
    predict(model, annotations, tmp_path, steps=2)
    text = _shown(model, annotations, tmp_path, terminal=False)
    assert text.splitlines()[-1] == "5 of 5 images, 0.00 images/s"


@pytest.mark.filterwarnings("ignore:install .ipywidgets.")
def test_a_terminal_shows_images_and_denoising_steps(model, annotations, tmp_path):
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", _shown(model, annotations, tmp_path, terminal=True))
    assert re.search(r"images\s+\S* *5/5 \d+\.\d\d images/s, 0:00:00 left", text)
    assert re.search(r"denoising\s+\S* *2/2", text)
