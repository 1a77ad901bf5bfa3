"""Scores of videos: by hand, and against the scores of the frames as images."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from fdplug import registry
from fdplug.errors import ConfigError
from fdplug.scores import Batch
from fdplug.scores.fidelity import Fidelity
from fdplug.scores.score_set import ScoreSet
from fdplug.scores.temporal import Motion, Temporal


def computed(score, batch):
    score.begin()
    score.update(batch)
    return score.compute()


def captions(*ids):
    return [SimpleNamespace(image_id=one, text="a") for one in ids]


def test_steadiness_is_what_a_hand_finds():
    """Of two videos of three frames one stands still; the other changes by 51 = 255 / 5, then not at all."""
    still = torch.full((3, 3, 4, 4), 7, dtype=torch.uint8)
    moving = still.clone()
    moving[1:] += 51
    found = computed(Temporal(), Batch(torch.stack([still, moving]), captions(1, 2)))
    assert found["steadiness"] == pytest.approx((1 + (1 - 0.1)) / 2)


def test_motion_is_compared_with_that_of_the_baseline():
    """Another brightness is no other motion; a step of 10 in one of two changes is an error of 50."""
    baseline = torch.zeros(1, 3, 3, 4, 4, dtype=torch.uint8)
    brighter, jumping = baseline + 9, baseline.clone()
    jumping[:, 2] += 10
    same = computed(Motion(), Batch(brighter, captions(1), baseline))
    assert same["motion_psnr"] == pytest.approx(10 * math.log10(255**2 * 2 * 48))
    other = computed(Motion(), Batch(jumping, captions(1), baseline))
    assert other["motion_psnr"] == pytest.approx(10 * math.log10(255**2 / 50))


def test_a_video_of_one_frame_has_no_motion():
    still = torch.zeros(2, 1, 3, 4, 4, dtype=torch.uint8)
    assert computed(Temporal(), Batch(still, captions(1, 2))) == {}


def test_a_score_of_images_is_the_mean_over_frames_and_its_error_that_over_videos():
    generator = torch.Generator().manual_seed(0)
    videos = torch.randint(0, 256, (4, 3, 3, 16, 16), dtype=torch.uint8, generator=generator)
    baseline = (videos.int() + torch.arange(1, 5).reshape(4, 1, 1, 1, 1)).clamp(max=255).to(torch.uint8)
    found = computed(Fidelity(), Batch(videos, captions(1, 2, 3, 4), baseline))
    means = []
    for one, other in zip(videos, baseline, strict=True):
        each = computed(Fidelity(), Batch(one, captions(0, 1, 2), other))
        means.append(each["psnr"])
    assert found["psnr"] == pytest.approx(sum(means) / 4)
    assert found["psnr_se"] == pytest.approx(torch.tensor(means).std().item() / 2, rel=1e-6)


def test_equal_videos_have_an_infinite_psnr():
    videos = torch.zeros(2, 3, 3, 16, 16, dtype=torch.uint8)
    assert math.isinf(computed(Fidelity(), Batch(videos, captions(1, 2), videos))["psnr"])


@pytest.mark.parametrize(("name", "made"), [("temporal", "image"), ("fid", "video"), ("fidelity", "sound")])
def test_scores_that_do_not_fit_are_refused(name, made):
    with pytest.raises(ConfigError, match=f"score '{name}' cannot be computed of {made}s"):
        ScoreSet([registry.build("score", name)]).check_media(made)
