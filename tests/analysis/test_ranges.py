"""Ranges of what enters linear layers, against the stored inputs themselves, rounded."""

from __future__ import annotations

import csv

import pytest
import torch
from torch import nn

from fdplug.analysis import figures, tables
from fdplug.analysis.features import Features
from fdplug.testing import latents, tiny_pipeline

STEPS = 4


@pytest.fixture(scope="module")
def analysed():
    """A run with its statistics, and every input of two layers, step by step."""
    pipe, features = tiny_pipeline(), Features()
    names = ["mid_block.attentions.0.transformer_blocks.0.attn1.to_q", "mid_block.resnets.0.time_emb_proj"]
    stored = {name: [] for name in names}
    hooks = [
        pipe.unet.get_submodule(name).register_forward_hook(
            lambda _, args, out, name=name: stored[name].append(args[0])
        )
        for name in names
    ]
    with features.watch(pipe, 1):
        latents(pipe, num_inference_steps=STEPS)
    for hook in hooks:
        hook.remove()
    return pipe, features, stored


def rounded(values, scale):
    return scale * (values / scale).round()


def test_ranges_and_errors_are_those_of_the_stored_inputs(analysed):
    _, features, stored = analysed
    for name, given in stored.items():
        widest = max(float(one.abs().max()) for one in given)
        for step, one in enumerate(given):
            entered = features.ranges.layers["mid_block"][name][step]
            assert entered.largest == pytest.approx(float(one.abs().max()), rel=1e-6)
            assert entered.energy == pytest.approx(float(one.square().sum()), rel=1e-5)
            tokens = one.abs().amax(-1, keepdim=True) / 127.5
            for scale, expected in (
                (tokens, entered.rounding),
                (widest / 127.5, (widest / 127.5) ** 2 / 12 * one.numel()),
            ):
                measured = float((rounded(one, scale) - one).square().sum())
                assert measured == pytest.approx(expected, rel=0.5), "the variance of rounding is that of even errors"


def test_a_scale_for_the_whole_run_is_never_better(analysed):
    _, features, _ = analysed
    for block in features.ranges.layers:
        row = features.ranges.row(block)
        assert row["int8_static_mean"] >= row["int8_dynamic_mean"]
        assert row["range_over_steps"] >= 1
        assert max(features.ranges.over_steps(block)) <= 1


def test_a_range_that_shrinks_costs_a_static_scale_as_much(monkeypatch):
    """Numbers a tenth as large at the second step: ten times the error there with one scale, none more with its own."""
    from fdplug.analysis.ranges import Ranges
    from fdplug.denoisers.blocks import Block

    network = nn.Module()
    network.block = nn.Linear(8, 2)
    ranges, at = Ranges(), [0]
    given = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    with ranges.listen(network, [Block("block", "encoder")], lambda: at[0]):
        network.block(given)
        at[0] = 1
        network.block(given / 10)
    dynamic, static = (ranges.errors("block", static=static) for static in (False, True))
    assert dynamic[1] == pytest.approx(dynamic[0])
    assert static[1] == pytest.approx(10 * static[0])
    assert ranges.row("block")["range_over_steps"] == pytest.approx(10)


def test_the_table_and_the_figure_are_written(analysed, tmp_path):
    _, features, _ = analysed
    tables.write(features, tmp_path)
    with (tmp_path / "ranges.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["block"] for row in rows] == [block.name for block in features.blocks]
    assert all(float(row["int8_dynamic_mean"]) > 0 for row in rows)
    assert "ranges" in figures.write(features, tmp_path)
    assert (tmp_path / "ranges.svg").exists()
