"""`fdplug generate`: one caption, one look."""

from __future__ import annotations

import numpy as np
import pytest

from fdplug.commands.generate import main
from fdplug.errors import ConfigError, FdplugError, PipelineError
from fdplug.presets.preset import Chosen, Preset
from tests.predict.conftest import opened

FAST = ["--steps", "4", "--policy", "{uniform: {interval: 2}}"]


def test_one_image(model, tmp_path, capsys):
    path = tmp_path / "x.png"
    assert main(["a red circle", "--model", model, "--out", str(path), *FAST]) == 0
    assert opened(path).shape == (16, 16, 3)
    printed = capsys.readouterr().out
    assert "4 steps, 2 of them key steps" in printed
    assert "Written" in printed


def test_beside_the_un_accelerated_image(model, tmp_path, capsys):
    assert main(["a red circle", "--model", model, "--out", str(tmp_path / "x.png"), "--compare", *FAST]) == 0
    assert opened(tmp_path / "x.png").shape[1] == 2 * 8 + 190 + 2 * 132
    assert "PSNR" in capsys.readouterr().out


def test_without_propagation_it_is_the_pipeline_s_own_image(model, loaded, tmp_path):
    from fdplug.predict.data.seeds import generators, seed_of

    path = tmp_path / "x.png"
    assert main(["a red circle", "--model", model, "--out", str(path), "--steps", "4", "--no-propagation"]) == 0
    expected = loaded("a red circle", generator=generators([seed_of(0, 0)]), num_inference_steps=4).images[0]
    assert (opened(path) == np.asarray(expected)).all()


def test_a_preset_is_what_its_settings_say(model, tmp_path):
    """What is given besides is on top of it: here fewer steps, to which its key steps are rescaled."""
    rule = {"uniform": {"interval": 2}}
    chosen = Chosen(sampler="euler", steps=6, timesteps=6, guidance=3.0, propagation={"policy": rule})
    Preset(about="for a look", settings=chosen).save(tmp_path / "fast.yaml")
    common = ["a red circle", "--model", model]
    by_hand = ["--sampler", "euler", "--guidance", "3", "--policy", "{uniform: {interval: 2}}"]
    for more, steps in ([], "6"), (["--steps", "4"], "4"):
        preset = ["--preset", str(tmp_path / "fast.yaml"), *more]
        assert main([*common, *preset, "--out", str(tmp_path / "preset.png")]) == 0
        assert main([*common, *by_hand, "--steps", steps, "--out", str(tmp_path / "hand.png")]) == 0
        assert (opened(tmp_path / "preset.png") == opened(tmp_path / "hand.png")).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--preset", "none.yaml"], "cannot read the preset none.yaml"),
        (["a", "--preset", "paper", "--part", "decoder"], "give either --preset or the options of propagation"),
        (["a", "--preset", "shapes-fast"], "was made for another denoiser"),
        (["  "], "the prompt is empty"),
        (["a\x1b[2Jcat"], r"the prompt holds the control character U\+001B at position 1"),
        (["a cat\udcff"], r"the prompt holds the control character U\+DCFF"),
        (["a", "--out", "x.jpg"], "--out is 'x.jpg', the name of a .png file is needed"),
        (["a", "--out", "/proc/none/x.png"], "cannot write to the folder"),
        (["a", "--steps", "0"], "steps must be a whole number of at least 1"),
        (["a", "--policy", "papr"], "no policy 'papr', did you mean 'paper'"),
        (["a", "--injector", "{prior: {alpha: -1}}"], "alpha"),
        (["a", "--sampler", "ddmm"], "no sampler 'ddmm', did you mean"),
        (["a", "--max-span-batch", "0"], "max_span_batch must be a whole number"),
        (["a", "--compare", "--no-propagation"], "leave out --no-propagation"),
        ([], "PROMPT must be given"),
    ],
)
def test_bad_options_are_one_line(model, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ConfigError, PipelineError), match=message) as caught:
        main([*arguments, "--model", model])
    assert isinstance(caught.value, FdplugError)
    assert len(str(caught.value).splitlines()) == 1
