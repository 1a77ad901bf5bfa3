"""The detail score and the embedded analogue of LPIPS, on blurred and noisy pictures, against plain references."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from fdplug.predict.data.captions import read_captions
from fdplug.predict.data.references import ReferenceImages
from fdplug.scores.base import Batch
from fdplug.scores.detail import Detail, detail_kept
from fdplug.scores.features.extractors import load_extractor
from fdplug.scores.shapes_lpips import ShapesLpips
from tests.scores.conftest import pictures


@pytest.fixture(scope="module")
def drawn():
    found = ReferenceImages(read_captions(limit=6))
    return torch.stack([torch.tensor(found.read(index)).permute(2, 0, 1) for index in range(6)])


def _blurred(images, sigma=0.8):
    """By a Gaussian of five pixels, as bytes."""
    line = torch.exp(-(torch.arange(-2.0, 3).square()) / (2 * sigma**2))
    kernel = (line[:, None] * line / line.sum() ** 2).expand(3, 1, 5, 5)
    padded = nn.functional.pad(images.float(), (2, 2, 2, 2), mode="replicate")
    return nn.functional.conv2d(padded, kernel, groups=3).round().byte()


def _noisy(images, sigma, seed=0):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return (images.float() + sigma * noise).clamp(0, 255).round().byte()


def _error(images, others):
    return float((images.float() - others.float()).square().mean())


def _reference_detail(image, baseline):
    """Window by window, frequency by frequency, for one picture (3, H, W) uint8."""
    planes = [0.299 * one[0] + 0.587 * one[1] + 0.114 * one[2] for one in (image / 255, baseline / 255)]
    line = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(8) / 7)
    window = np.outer(line, line)
    height, width = planes[0].shape
    powers, shares, count = {}, {}, 0
    for top in range(0, height - 7, 4):
        for left in range(0, width - 7, 4):
            cut = [plane[top : top + 8, left : left + 8] for plane in planes]
            own, wanted = (np.fft.fft2((one - one.mean()) * window) / np.linalg.norm(window) for one in cut)
            count += 1
            for down in range(8):
                for across in range(5):
                    if math.hypot(min(down, 8 - down) / 8, across / 8) >= 0.25:
                        key = (down, across)
                        powers[key] = powers.get(key, 0) + abs(wanted[key]) ** 2
                        shares[key] = shares.get(key, 0) + (own[key] * wanted[key].conjugate()).real
    floor = 1e-5 * count * len(powers)
    kept = sum(min(shares[key], powers[key]) for key in powers)
    return min(max((kept + floor) / (sum(powers.values()) + floor), 0), 1)


@pytest.mark.parametrize("change", ["blurred", "noisy", "moved"])
def test_detail_is_that_of_a_plain_loop(drawn, change):
    baseline = drawn[:2]
    images = {"blurred": _blurred, "noisy": lambda one: _noisy(one, 20), "moved": lambda one: one.roll(2, -1)}[change](
        baseline
    )
    score = Detail()
    found = score.values(Batch(images, baseline=baseline))["detail"]
    expected = [_reference_detail(*pair) for pair in zip(images.numpy(), baseline.numpy(), strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_blur_costs_detail_and_noise_of_the_same_error_does_not(drawn):
    blurred = _blurred(drawn)
    noisy = _noisy(drawn, math.sqrt(_error(blurred, drawn)))
    assert _error(noisy, drawn) == pytest.approx(_error(blurred, drawn), rel=0.2)
    kept = [detail_kept(one.float() / 255, drawn.float() / 255) for one in (drawn, noisy, blurred)]
    assert kept[0].tolist() == pytest.approx([1] * 6)
    assert (kept[1] > 0.9).all()
    assert (kept[2] < 0.75).all()
    stronger = detail_kept(_blurred(drawn, 1.5).float() / 255, drawn.float() / 255)
    assert (stronger < kept[2]).all()


def test_noise_does_not_bring_back_what_blur_took(drawn):
    blurred, base = _blurred(drawn), drawn.float() / 255
    before = detail_kept(blurred.float() / 255, base)
    after = detail_kept(_noisy(blurred, 15).float() / 255, base)
    assert (after - before).abs().max() < 0.08


def test_a_flat_baseline_has_nothing_to_lose():
    flat = torch.full((1, 3, 16, 16), 0.5)
    assert detail_kept(flat, flat).tolist() == [1]
    assert detail_kept(pictures(1).float() / 255, pictures(1, seed=1).float() / 255).item() < 0.2


def _reference_distance(tower, one, other):
    """Layer by layer and place by place, from hooks on the tower's own forward."""
    seen = []
    modules = [module for module in tower.modules() if isinstance(module, nn.SiLU)][:6]
    handles = [module.register_forward_hook(lambda _, __, answer: seen.append(answer[0].numpy())) for module in modules]
    with torch.no_grad():
        for image in (one, other):
            tower(image[None])
    for handle in handles:
        handle.remove()
    layers = []
    for first, second in zip(seen[:6], seen[6:], strict=True):
        places = []
        for row in range(first.shape[1]):
            for column in range(first.shape[2]):
                a, b = first[:, row, column], second[:, row, column]
                places.append(((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2).sum())
        layers.append(np.mean(places))
    return float(np.mean(layers))


def test_the_analogue_of_lpips_is_that_of_a_plain_loop(drawn):
    score = ShapesLpips()
    score.load("cpu")
    baseline, images = drawn[:2], _blurred(drawn[:2])
    found = score.values(Batch(images, baseline=baseline))["shapes_lpips"]
    tower = load_extractor("shapes").evaluators.embedder.image_tower
    pairs = zip(images.float() / 255, baseline.float() / 255, strict=True)
    assert found.tolist() == pytest.approx([1000 * _reference_distance(tower, *pair) for pair in pairs], rel=1e-4)


def test_the_analogue_of_lpips_grows_with_what_is_done_to_a_picture(drawn):
    judges = load_extractor("shapes").evaluators
    base = drawn.float() / 255
    found = [
        judges.perceptual_distance(one.float() / 255, base).mean()
        for one in (drawn, _noisy(drawn, 4), _noisy(drawn, 20), _blurred(drawn, 1.5), drawn.roll(1, 0))
    ]
    assert found[0] == 0
    assert 0 < found[1] < found[2] < found[4]
    assert found[1] < found[3] < found[4], "another picture is farther away than a damaged one"


def test_other_counts_are_refused(drawn):
    judges = load_extractor("shapes").evaluators
    with pytest.raises(ValueError, match="6 images but 5 others"):
        judges.perceptual_distance(drawn.float() / 255, drawn[:5].float() / 255)
