"""Frechet distance against scipy's matrix square root and torchmetrics' FID; statistics in files."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from fdplug.errors import DataError, FdplugWarning
from fdplug.scores.features.distance import FrechetDistance
from fdplug.scores.features.frechet import Moments, frechet_distance
from fdplug.scores.features.statistics import FeatureStatistics, load_statistics, save_statistics
from tests.scores.conftest import pictures


def _reference_frechet_distance(a, b):
    """The textbook formula with scipy."""
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
    shift = np.square(a.mean(0) - b.mean(0)).sum()
    return shift + np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * root)


def _statistics(features, chunk=7):
    statistics = FeatureStatistics(features.shape[1], features.dtype)
    for part in features.split(chunk):
        statistics.update(part)
    return statistics


@pytest.fixture
def sets():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(60, 12, generator=generator, dtype=torch.float64)
    b = 1.3 * torch.randn(45, 12, generator=generator, dtype=torch.float64) + 0.4
    return a, b


def test_it_equals_scipy(sets):
    a, b = sets
    expected = _reference_frechet_distance(a.numpy(), b.numpy())
    assert frechet_distance(Moments.of(a), Moments.of(b)) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(_statistics(a).compute(), _statistics(b).compute()) == pytest.approx(expected, rel=1e-9)


def test_badly_conditioned_covariances_keep_their_digits():
    """Where both have the same eigenvectors, the distance is that of the standard deviations."""
    axes = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    a, b = torch.logspace(0, -6, 10, dtype=torch.float64), torch.logspace(1, -7, 10, dtype=torch.float64)
    moments = [Moments(torch.zeros(10), axes @ torch.diag(one**2) @ axes.T, 99) for one in (a, b)]
    assert frechet_distance(*moments) == pytest.approx(float((a - b).square().sum()), rel=1e-8)


def test_the_sets_may_change_places_bit_for_bit(sets):
    for a, b in (sets, (sets[0][:6], sets[1])):
        assert frechet_distance(Moments.of(a), Moments.of(b)) == frechet_distance(Moments.of(b), Moments.of(a))


def test_statistics_of_batches_are_those_of_the_whole(sets):
    mean, covariance, count = _statistics(sets[0]).compute()
    torch.testing.assert_close(mean, sets[0].mean(0))
    torch.testing.assert_close(covariance, sets[0].T.cov())
    assert count == 60


class _Flat(torch.nn.Module):
    num_features = 12

    def forward(self, images):
        return images.flatten(1)[:, :12].double() / 255


def test_it_equals_torchmetrics_fid():
    real, fake = pictures(40, 2, seed=1), pictures(40, 2, seed=2)
    fid = FrechetInceptionDistance(feature=_Flat())
    fid.update(real, real=True)
    fid.update(fake, real=False)
    ours = FrechetDistance(_statistics(_Flat()(real)))
    ours.update(_Flat()(fake))
    assert ours.compute() == pytest.approx(float(fid.compute()), rel=1e-5)


def test_equal_sets_are_at_zero_and_never_below(sets):
    for features in (sets[0], sets[0][:5], torch.zeros(9, 12)):
        assert 0 <= frechet_distance(Moments.of(features), _statistics(features).compute()) < 1e-6


@pytest.mark.parametrize("count", [11, 12])
def test_no_more_images_than_features_warn(sets, count):
    distance = FrechetDistance(_statistics(sets[0]))
    distance.update(sets[1][:count])
    with pytest.warns(FdplugWarning, match=rf"{count} images with 12 features: fewer images than features"):
        assert np.isfinite(distance.compute())


def test_a_small_reference_warns_too_and_thirteen_images_do_not(sets):
    distance = FrechetDistance(Moments.of(sets[0][:10]))
    distance.update(sets[1][:13])
    with pytest.warns(FdplugWarning, match="10 reference images with 12 features") as caught:
        distance.compute()
    assert len(caught) == 1


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_or_none_has_no_distance(sets, count):
    distance = FrechetDistance(Moments.of(sets[0]))
    distance.update(sets[1][:count])
    with pytest.warns(FdplugWarning, match=rf"no Frechet distance of {count} image"):
        assert distance.compute() is None


def test_moments_of_too_few_and_of_another_width_are_refused(sets):
    with pytest.raises(DataError, match=r"at least 2 images, got \(1, 12\)"):
        Moments.of(sets[0][:1])
    with pytest.raises(DataError, match="features of 12 and of 3 numbers come from different extractors"):
        frechet_distance(Moments.of(sets[0]), Moments.of(sets[0][:, :3]))


def test_double_precision_survives_single_precision_features(sets):
    shifted = (sets[0] * 1e-3 + 1).float()
    mean, covariance, _ = _statistics(shifted).compute()
    assert mean.dtype == covariance.dtype == torch.float64
    torch.testing.assert_close(covariance, shifted.double().T.cov(), rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_statistics_come_back_from_a_file_exactly(sets, tmp_path, suffix):
    moments = _statistics(sets[0]).compute()
    path = save_statistics(moments, tmp_path / f"real{suffix}", extractor="flat", size=(32, 48))
    again = load_statistics(path, extractor="flat", size=(32, 48))
    assert again.count == 60
    assert torch.equal(again.mean, moments.mean)
    assert torch.equal(again.covariance, moments.covariance)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    with pytest.raises(DataError, match="features of 'flat', not of 'inception'; write them anew"):
        load_statistics(path, extractor="inception")
    with pytest.raises(DataError, match="images cropped to 32x48, the images are 64x64"):
        load_statistics(path, size=(64, 64))


def test_statistics_of_pytorch_fid_are_read(sets, tmp_path):
    a = sets[0].numpy()
    np.savez(tmp_path / "fid.npz", mu=a.mean(0), sigma=np.cov(a, rowvar=False))
    moments = load_statistics(tmp_path / "fid.npz", extractor="inception", size=(8, 8))
    assert moments.count == 0
    assert frechet_distance(moments, Moments.of(sets[0])) < 1e-9


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_pickles_are_never_run(tmp_path):
    np.savez(tmp_path / "bomb.npz", mu=np.array([_Bomb()], dtype=object), sigma=np.zeros((1, 1)))
    with pytest.raises(DataError, match=r"cannot read the statistics .*bomb.npz: .*pickled objects"):
        load_statistics(tmp_path / "bomb.npz")
    with pytest.raises(DataError, match=r"are kept in .npz or .safetensors files, got .*x.pkl"):
        load_statistics(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"mu": np.zeros(3)}, "has no 'sigma', only"),
        ({"mu": np.zeros(3), "sigma": np.zeros((2, 2))}, r"covariance is \(2, 2\), not \(3, 3\)"),
        ({"mu": np.array([0, np.nan]), "sigma": np.eye(2)}, "'mu' holds something else than finite numbers"),
        ({"mu": np.array(["a"]), "sigma": np.eye(1)}, "'mu' holds something else than finite numbers"),
        ({"mu": np.zeros(1), "sigma": np.eye(1), "count": np.array("x")}, "'count' is 'x'"),
    ],
)
def test_a_bad_statistics_file_is_named(tmp_path, content, message):
    np.savez(tmp_path / "bad.npz", **content)
    with pytest.raises(DataError, match=message) as caught:
        load_statistics(tmp_path / "bad.npz")
    assert "bad.npz" in str(caught.value)


@pytest.mark.parametrize("name", ["cut.npz", "cut.safetensors", "none.npz"])
def test_a_truncated_or_missing_file_is_named(tmp_path, sets, name):
    if name.startswith("cut"):
        whole = save_statistics(Moments.of(sets[0]), tmp_path / name, extractor="x").read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=rf"cannot read the statistics .*{name}"):
        load_statistics(tmp_path / name)


def test_statistics_that_mean_nothing_are_not_written(tmp_path, sets):
    with pytest.raises(DataError, match="at least 2 images, got 1"):
        save_statistics(_statistics(sets[0][:1]).compute(), tmp_path / "x.npz", extractor="x")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write the statistics"):
        save_statistics(Moments.of(sets[0]), tmp_path / "file" / "x.npz", extractor="x")
