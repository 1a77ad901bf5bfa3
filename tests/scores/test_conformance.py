"""Every built-in score runs through the check that third parties use, and the check does find faults."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from fdplug import registry
from fdplug.errors import ConfigError, FdplugWarning, PluginError
from fdplug.predict.data.captions import read_captions
from fdplug.predict.data.references import ReferenceImages
from fdplug.scores import BASELINE, Batch, MeanScore, Number
from fdplug.scores import lpips as lpips_module
from fdplug.scores.base import CombinedScore, Score
from fdplug.scores.rows import Rows, summed
from fdplug.scores.score_set import ScoreSet
from fdplug.testing import check_score
from fdplug.testing.score_checks import in_processes
from tests.scores.conftest import pictures
from tests.scores.test_fidelity import _Lpips

pytestmark = pytest.mark.filterwarnings("ignore:Frechet distance of")


SLOW = {"shapes"}  # its standard error is made of 200 resamples
DRAWN = {"shapes", "shapes-classes", "shapes-lpips", "outlines"}  # their evaluators take pictures of 64 x 64 pixels


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in registry.names("score")],
)
def test_scores(name, vit_folder, clip_folder, monkeypatch):
    networks = {"extractor": vit_folder, "model": clip_folder}
    known = registry.options(registry.find("score", name))
    score = registry.build("score", {name: {key: value for key, value in networks.items() if key in known}})
    if name == "lpips":  # its network is downloaded by torchvision
        monkeypatch.setattr(score, "check", lambda captions: None)
        monkeypatch.setattr(lpips_module, "load_lpips", lambda net, device: _Lpips())
    captions, images = (), None
    if name in DRAWN:
        captions = read_captions(limit=6)
        real = ReferenceImages(captions)
        images = torch.stack([torch.tensor(real.read(index)).permute(2, 0, 1) for index in (1, 0, 2, 3, 5, 4)])
    check_score(score, captions, images)


class Bright(MeanScore):
    """How bright images are."""

    name = "bright"
    numbers = (Number("bright", "brightness", higher_is_better=True),)

    def values(self, batch):
        return {"bright": batch.images.float().mean((1, 2, 3))}


class Alone(Bright):
    """Knows its own images only."""

    def compute(self):
        return {"bright": float(torch.cat(self._rows["bright"]._rows).mean())}


class Latest(Score):
    """What the last image has."""

    name, numbers = "latest", (Number("latest", "latest", higher_is_better=True),)

    def begin(self, reference=None):
        self.value = 0.0

    def update(self, batch):
        self.value = float(batch.images[-1].float().mean())

    def compute(self):
        return {"latest": self.value}


class Clinging(Bright):
    """Forgets nothing."""

    def begin(self, reference=None):
        if not hasattr(type(self), "kept"):
            super().begin()
            type(self).kept = self._rows
        self._rows = type(self).kept


class Writing(Bright):
    """Writes into the images."""

    def values(self, batch):
        return {"bright": batch.images.div_(2, rounding_mode="floor").float().mean((1, 2, 3))}


class PerBatch(Bright):
    """The mean over batches of something that a batch has."""

    def values(self, batch):
        return {"bright": batch.images[0].float().mean().repeat(len(batch.images))}


class Secret(Bright):
    """Computes what it does not list."""

    def compute(self):
        return {"dark": 1.0}


class Nameless(Bright):
    """Has no numbers."""

    numbers = ()


class Greedy(Bright):
    """Needs what nobody has."""

    needs = frozenset({"depth"})


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (Alone(), "depend on the number of processes"),
        (Latest(), "depend on the order of the images"),
        (Clinging(), "begin anew"),
        (Writing(), "changed the images in place|depend on"),
        (PerBatch(), "depend on the size of the batches"),
        (Secret(), r"compute returned \['dark'\], which `numbers` does not list"),
        (Nameless(), "has no numbers"),
        (Greedy(), r"needs \['depth'\]; what fdplug gives is captions, reference, baseline"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Score) else None,
)
def test_the_check_finds_faults(score, message):
    with pytest.raises(AssertionError, match=message):
        check_score(score)


def test_a_good_score_passes():
    check_score(Bright())


def test_rows_come_in_the_order_of_their_ids_and_sums_add_up():
    def task(rank):
        rows = Rows(2)
        for one in ((5, 1), (3,), ())[rank]:
            rows.add(torch.full((1, 2), float(one)), [one])
        return lambda: (rows.gathered().tolist(), summed(torch.tensor([1.0, rank])).tolist())

    for rows, total in in_processes([task(rank) for rank in range(3)]):
        assert rows == [[1, 1], [3, 3], [5, 5]]
        assert total == [3, 3]


def test_a_process_that_does_not_ask_is_no_deadlock():
    with pytest.raises(AssertionError, match="ask on all"):
        in_processes([lambda: summed(torch.ones(1)), lambda: 1 / 0])


def test_the_error_of_shapes_fd_does_not_depend_on_the_number_of_processes(monkeypatch):
    """Two processes take turns, as predict divides images; the resamples are drawn in the order of the ids."""
    from fdplug.scores.features.reference import Reference

    monkeypatch.setattr("fdplug.scores.uncertainty.RESAMPLES", 20)
    captions = read_captions(limit=10)
    real, images = ReferenceImages(captions), pictures(10, size=64, seed=1)
    score = ScoreSet([registry.build("score", "shapes")])
    score.load("cpu")

    def scored(rank, ranks):
        begun = score.begun(Reference(real, share=(rank, ranks)))
        for row in range(rank, 10, ranks):
            begun.update(Batch(images[row : row + 1], captions[row : row + 1]))
        return begun.compute

    whole = scored(0, 1)()
    assert whole["shapes_fd_se"] > 0
    for found in in_processes([scored(rank, 2) for rank in range(2)]):
        assert found == whole


class Sum(CombinedScore):
    """The sum of two numbers."""

    name, numbers = "sum", (Number("sum", "sum", higher_is_better=True),)
    made_of = ("bright", "seconds_per_image")

    def combine(self, numbers):
        return {"sum": sum(numbers.values())}


def test_a_combined_score_is_made_of_what_is_there():
    both = ScoreSet([Sum(), Bright()])
    both.check_parts()
    begun = both.begun()
    begun.update(Batch(torch.full((2, 3, 4, 4), 8, dtype=torch.uint8)))
    numbers = begun.compute()
    assert numbers == {"bright": 8, "bright_se": 0}
    assert begun.combine({**numbers, "seconds_per_image": 2.5}) == {"sum": 10.5}
    with pytest.warns(FdplugWarning, match="no sum without seconds_per_image; add the scores that give them"):
        assert begun.combine(numbers) == {}
    with pytest.raises(ConfigError, match="'sum' is made of other scores; add those that give bright"):
        ScoreSet([Sum()]).check_parts()


def test_two_scores_of_one_number_are_refused():
    with pytest.raises(ConfigError, match="two scores give 'bright', and a table has one column of it"):
        ScoreSet([Bright(), Bright()])


class Broken(Bright):
    """Fails."""

    def values(self, batch):
        raise RuntimeError("no such\ndevice")


class Stray(Bright):
    """Gives something else than it says."""

    def values(self, batch):
        return {"dark": batch.images.float().mean((1, 2, 3))}


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (Broken(), "score 'bright' failed: RuntimeError: no such device; leave it out"),
        (Stray(), "score 'bright' gives 'dark', which is not among its numbers: bright"),
    ],
)
def test_a_score_that_fails_is_named_in_one_line(score, message):
    begun = ScoreSet([score]).begun()
    with pytest.raises(PluginError, match=message):
        begun.update(Batch(pictures(2)))


def test_a_number_says_how_it_is_written():
    number = Number("psnr", "PSNR", higher_is_better=True, digits=1, unit="dB")
    assert (number.head, number.text(31.26), number.text(31.26, 0.44)) == ("PSNR dB", "31.3", "31.3 ±0.4")


def test_batches_know_texts_ids_and_pairs():
    batch = Batch(pictures(1), [SimpleNamespace(text="a", image_id=4)], pictures(1, seed=1))
    assert (batch.texts, batch.ids, batch.pairs()[1] is batch.baseline) == (["a"], [4], True)
    assert Batch(pictures(1)).ids is None
    assert BASELINE not in Bright.needs
