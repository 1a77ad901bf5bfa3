"""Budgets as words: every form, and every mistake in one line."""

from __future__ import annotations

import pytest

from fdplug.errors import ConfigError
from fdplug.optimization.budget import Budget, seconds


@pytest.mark.parametrize(
    ("text", "quantity", "amount", "is_ceiling"),
    [
        ("1.5s", "seconds", 1.5, True),
        (" 800 ms ", "seconds", 0.8, True),
        ("2x", "times", 2.0, True),
        ("1.5X", "times", 1.5, True),
        ("12calls", "calls", 12.0, True),
        ("1call", "calls", 1.0, True),
        ("8gflops", "gflops", 8.0, True),
        (".5GFLOPs", "gflops", 0.5, True),
        ("psnr=32", "psnr", 32.0, False),
        ("PSNR = 40.5", "psnr", 40.5, False),
        ("semantic_accuracy=-0.01", "semantic_accuracy", -0.01, False),
        ("clip_score=0", "clip_score", 0.0, False),
        ("lossless", "lossless", 0.0, False),
        ("Lossless", "lossless", 0.0, False),
    ],
)
def test_a_budget_is_read(text, quantity, amount, is_ceiling):
    budget = Budget.parse(text)
    assert (budget.quantity, budget.amount, budget.is_ceiling) == (quantity, pytest.approx(amount), is_ceiling)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2", r"no budget '2': write 1\.5s \(seconds an image\), 2x"),
        ("", "no budget '': write"),
        ("fast", "no budget 'fast': write .* or lossless$"),
        ("2 y", "no budget '2 y'"),
        ("2x3x", "no budget '2x3x'"),
        ("psnr=", "no budget 'psnr='"),
        ("psnr>32", "no budget 'psnr>32'"),
        (None, "no budget None"),
        ("1x", "budget '1x': its number must be more than 1: 2x is twice as fast"),
        ("0.5x", "must be more than 1"),
        ("0s", "budget '0s': its number must be more than 0"),
        ("-1calls", "must be more than 0"),
        ("psnr=-3", "PSNR is a number of dB, more than 0"),
        ("clip_score=0.01", "say how much clip_score may fall, 0 or less, such as clip_score=-0.01"),
    ],
)
def test_a_mistake_is_said_in_one_line(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        Budget.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "amount"), [("90s", 90), ("20min", 1200), ("1.5h", 5400), (" 2 H ", 7200)])
def test_a_duration_is_read(text, amount):
    assert seconds(text) == amount


@pytest.mark.parametrize("text", ["20", "min", "0s", "-1h", "1d"])
def test_another_duration_is_refused(text):
    with pytest.raises(ConfigError, match=r"no duration .*: write 90s, 20min or 1\.5h"):
        seconds(text)
