"""Every score against an independent reference: by hand, by torchmetrics, or by a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.image.inception import InceptionScore as TorchmetricsInceptionScore
from torchmetrics.multimodal import CLIPScore

from fdplug.errors import ConfigError, DataError, FdplugWarning
from fdplug.predict.data.captions import Caption, read_captions
from fdplug.scores import Batch, shapes
from fdplug.scores.clip_score import ClipScore
from fdplug.scores.features.clip import load_clip
from fdplug.scores.features.neighbours import precision_recall
from fdplug.scores.features.reference import Reference, reference_statistics
from fdplug.scores.features.shapes_model import ShapesExtractor
from fdplug.scores.fid import Fid
from fdplug.scores.ftc import ftc
from fdplug.scores.inception_score import InceptionScore
from fdplug.scores.precision_recall import PrecisionRecall
from fdplug.scores.rows import Rows
from fdplug.scores.uncertainty import named
from fdplug.shapes.drawing import draw
from fdplug.shapes.scene import Scene
from fdplug.shapes.texture import texture_distance
from fdplug.testing.score_checks import in_processes
from tests.scores.conftest import Corner, pictures, save_pictures


def begun(score, network=None, reference=None):
    """A score with its network loaded, or with another one in its place."""
    if network is None:
        score.load("cpu")
    else:
        score.network = network
    score.begin(reference)
    return score


TEXTS = ["a red circle", "a blue square on a gray background above a small green circle, and so on and on", "a"]
CAPTIONS = [Caption(index, text) for index, text in enumerate(TEXTS)]


def test_a_mean_comes_with_its_standard_error():
    values = np.random.default_rng(0).normal(5, 2, 30)
    rows = Rows()
    for part in np.split(values, [4, 5, 20]):
        rows.add(torch.tensor(part))
    found = named("x", rows.gathered())
    assert found["x"] == pytest.approx(values.mean())
    assert found["x_se"] == pytest.approx(values.std(ddof=1) / np.sqrt(30))


def test_a_mean_of_one_has_no_error_and_of_none_no_value():
    assert named("x", torch.tensor([3.0])) == {"x": 3.0}
    assert named("x", Rows().gathered()) == {}


def _reference_cosines(folder, images, texts):
    """100 x cosine by hand, one pair at a time."""
    from transformers import CLIPModel, CLIPProcessor

    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    scores = []
    for image, text in zip(images, texts, strict=True):
        cut = {"padding": True, "truncation": True, "max_length": 12}
        given = processor(text=[text], images=[image], return_tensors="pt", **cut)
        with torch.no_grad():
            out = model(**given)
        scores.append(100 * torch.nn.functional.cosine_similarity(out.image_embeds, out.text_embeds).item())
    return np.array(scores)


class _Bare(torch.nn.Module):
    """A CLIP that answers as torchmetrics expects: with bare tensors."""

    def __init__(self, model):
        super().__init__()
        self.model, self.config = model, model.config

    def get_image_features(self, *args, **kwargs):
        return self.model.get_image_features(*args, **kwargs).pooler_output

    def get_text_features(self, *args, **kwargs):
        return self.model.get_text_features(*args, **kwargs).pooler_output


def test_clip_score_is_the_cosine_by_hand_and_torchmetrics(clip_folder):
    images = pictures(3, seed=3)
    clip = load_clip(clip_folder)
    score = begun(ClipScore(clip_folder))
    score.update(Batch(images[:2], CAPTIONS[:2]))
    score.update(Batch(images[2:], CAPTIONS[2:]))
    expected = _reference_cosines(clip_folder, images, TEXTS)
    values = score.compute()
    assert values["clip_score"] == pytest.approx(max(expected.mean(), 0), abs=1e-3)
    assert values["clip_score_se"] == pytest.approx(expected.std(ddof=1) / np.sqrt(3), abs=1e-3)

    def process(**given):
        return clip.processor(**given, **({"truncation": True, "max_length": 12} if given.get("text") else {}))

    theirs = CLIPScore(model_name_or_path=lambda: (_Bare(clip.model), process))
    theirs.update(images, TEXTS)
    assert values["clip_score"] == pytest.approx(float(theirs.compute()), abs=1e-3)


def test_a_clip_model_is_loaded_once(clip_folder):
    assert load_clip(clip_folder) is load_clip(clip_folder)


def test_fid_of_the_reference_itself_is_zero_and_of_others_scipy_s(corner):
    from tests.scores.test_frechet import _reference_frechet_distance

    real, fake = pictures(30, seed=1), pictures(25, seed=2)
    reference = Reference(_Images(real))
    score = begun(Fid(), corner, reference)
    score.update(Batch(real))
    assert score.compute() == {"fid": pytest.approx(0, abs=1e-9)}
    other = begun(Fid(), corner, reference)
    assert other.distance.reference is score.distance.reference
    for part in fake.split(7):
        other.update(Batch(part))
    expected = _reference_frechet_distance(*(corner.embed(one).double().numpy() for one in (fake, real)))
    assert other.compute() == {"fid": pytest.approx(expected, rel=1e-6)}


class _Images:
    """Pictures as a source of reference images."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def read(self, index, size=None):
        return self.images[index].permute(1, 2, 0).numpy()


def test_reference_statistics_cover_every_image_once_over_all_ranks(corner):
    images, read = pictures(70), []
    whole = reference_statistics(corner, _Images(images), None, read.append)
    assert sum(read) == len(whole) == 70
    parts = [reference_statistics(corner, _Images(images), share=(rank, 3)) for rank in range(3)]
    assert [len(part) for part in parts] == [32, 32, 6]
    for mean, covariance, count in in_processes([part.compute for part in parts]):
        assert torch.equal(mean, whole.compute().mean)
        assert torch.equal(covariance, whole.compute().covariance)
        assert count == 70
    with pytest.raises(ConfigError, match="no reference images"):
        reference_statistics(corner, _Images(images[:0]))


def test_a_reference_is_a_folder_or_a_file_of_statistics(corner, tmp_path):
    from fdplug.scores.features.statistics import save_statistics

    images = pictures(12)
    folder = save_pictures(images, tmp_path / "real")
    statistics = Reference(folder).statistics(corner).compute()
    path = save_statistics(statistics, tmp_path / "real.npz", extractor=corner.name)
    again = Reference(path)
    torch.testing.assert_close(again.statistics(corner).covariance, statistics.covariance)
    with pytest.raises(DataError, match="precision and recall need the real images themselves"):
        again.features(corner)
    with pytest.raises(DataError, match=f"features of '{corner.name}', not of '{Corner(3).kind}"):
        again.statistics(_other())
    with pytest.raises(DataError, match=r"there are no statistics .*none.npz; make them: fdplug evaluate"):
        Reference(tmp_path / "none.npz")
    torch.testing.assert_close(Reference(folder).features(corner), corner.embed(images))
    torch.testing.assert_close(torch.cat(list(Reference(folder).images())), images)


def _other():
    other = Corner()
    torch.nn.init.constant_(other.network.weight, 7.0)
    return other


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore` will save all")
@pytest.mark.filterwarnings(r"ignore:std\(\)")  # torchmetrics asks for the deviation of its one split
def test_inception_score_is_torchmetrics_with_one_split(corner):
    images = pictures(40, seed=5)
    score = begun(InceptionScore(), corner)
    for part in images.split(9):
        score.update(Batch(part))

    class Logits(torch.nn.Module):
        def forward(self, given):
            return corner.logits(given)

    theirs = TorchmetricsInceptionScore(feature=Logits(), splits=1)
    theirs.update(images)
    assert score.compute()["inception_score"] == pytest.approx(float(theirs.compute()[0]), rel=1e-5)


def test_inception_score_has_its_two_extremes():
    """The same picture again and again: 1. As many sure answers as classes: their number."""
    sure = Corner(3)
    sure.logits = lambda images: 1e3 * sure.embed(images)
    same, different = torch.zeros(6, 3, 1, 1, dtype=torch.uint8), torch.zeros(6, 3, 1, 1, dtype=torch.uint8)
    same[:, 0] = 255
    different[torch.arange(6), torch.arange(6) % 3] = 255
    for images, expected in ((same, 1.0), (different, 3.0)):
        score = begun(InceptionScore(), sure)
        score.update(Batch(images))
        assert score.compute()["inception_score"] == pytest.approx(expected)


def test_inception_score_needs_classes(clip_folder):
    with pytest.raises(ConfigError, match="the extractor 'CLIPModel' tells no classes; take inception"):
        InceptionScore(clip_folder).load("cpu")


def _reference_precision_recall(real, fake, k):
    """The definition, point by point."""

    def radius(points, index):
        distances = sorted(np.linalg.norm(points[index] - one) for j, one in enumerate(points) if j != index)
        return distances[k - 1]

    def share(points, centres):
        radii = [radius(centres, index) for index in range(len(centres))]
        inside = [any(np.linalg.norm(p - c) <= r for c, r in zip(centres, radii, strict=True)) for p in points]
        return float(np.mean(inside))

    return share(fake, real), share(real, fake)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("rows", [7, 1000])
def test_precision_and_recall_are_those_of_a_plain_loop(k, rows):
    generator = torch.Generator().manual_seed(k)
    real = torch.randn(40, 5, generator=generator)
    fake = 0.7 * torch.randn(33, 5, generator=generator) + 0.3
    shares = precision_recall(real, fake, k, rows)
    expected = _reference_precision_recall(real.double().numpy(), fake.double().numpy(), k)
    assert shares == pytest.approx(expected)
    assert 0 < shares.recall < shares.precision <= 1


def test_precision_and_recall_of_equal_and_of_distant_sets():
    points = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    assert precision_recall(points, points.clone()) == (1.0, 1.0)
    assert precision_recall(points, points + 1e3) == (0.0, 0.0)


def test_precision_and_recall_survive_large_means():
    points = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).double()
    assert precision_recall(points + 1e4, points[:20] * 0.9 + 1e4) == precision_recall(points, points[:20] * 0.9)


def test_the_score_collects_batches_and_warns_of_too_few_images(corner):
    real, fake = pictures(20, seed=1), pictures(12, seed=2)
    score = begun(PrecisionRecall(), corner, Reference(_Images(real)))
    for part in fake.split(5):
        score.update(Batch(part))
    expected = precision_recall(corner.embed(real), corner.embed(fake))
    assert score.compute() == {"precision": expected.precision, "recall": expected.recall}
    few = begun(PrecisionRecall(), corner, Reference(_Images(real)))
    few.update(Batch(fake[:3]))
    with pytest.warns(FdplugWarning, match="3 neighbours need more than 3 images each, got 3 generated and 20 real"):
        assert few.compute() == {}


@pytest.mark.slow
def test_ten_thousand_images_need_bounded_memory():
    """10,000 x 10,000 distances at once would be 800 MB in float64."""
    import resource

    real, fake = torch.randn(10_000, 64), torch.randn(10_000, 64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    precision_recall(real, fake)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 500


@pytest.mark.parametrize(
    ("fid", "seconds", "clip", "expected"),
    [(21.75, 2.42, 0.773, 68.09)],
)
def test_ftc_is_the_paper_s(fid, seconds, clip, expected):
    """Table 5, first row; the paper's CLIP score is 2.5 x the cosine, ours 100 x."""
    assert ftc(fid, seconds, 100 * clip / 2.5) == pytest.approx(expected, abs=0.005)


class _Judges:
    """Evaluators whose answers are known beforehand."""

    def __init__(self):
        self.embedder = torch.nn.Linear(1, 1)

    def embed_images(self, images):
        return images.flatten(1)[:, :4]

    def embed_texts(self, captions):
        return torch.zeros(len(captions), 4)

    def clip_score(self, images, captions):
        return torch.tensor([float(len(caption)) for caption in captions])

    def semantics(self, images, captions):
        right = torch.tensor(["red" in caption for caption in captions])
        return {**dict.fromkeys(shapes.ATTRIBUTES, torch.ones_like(right)), "all": right, "shape": right}


def judged(reference):
    """Scores of the shapes world, by judges whose answers are known."""
    score = shapes.ShapesScores()
    score.extractor = ShapesExtractor(_Judges())
    score.begin(reference)
    return score


def test_shapes_scores_and_their_standard_errors():
    images = pictures(16)
    score = judged(Reference(_Images(images)))
    captions = [Caption(index, "red" if index % 4 else "green") for index in range(16)]
    score.update(Batch(images[:10], captions[:10]))
    score.update(Batch(images[10:], captions[10:]))
    values = score.compute()
    assert set(values) >= {number.key for number in score.numbers if number.key != "texture_distance_db"}
    assert values["shapes_fd"] == pytest.approx(0, abs=1e-4)
    assert values["shapes_clip"] == pytest.approx((12 * 3 + 4 * 5) / 16)
    assert values["shapes_clip_se"] == pytest.approx(np.std([3] * 12 + [5] * 4, ddof=1) / 4)
    assert values["shapes_fd_se"] > 0
    assert values["semantic_accuracy"] == values["semantic_shape"] == pytest.approx(0.75)
    assert values["semantic_size"] == 1
    assert values["semantic_accuracy_se"] == pytest.approx(np.sqrt(13 / 18 * 5 / 18 / 18))


def test_texture_is_compared_with_the_drawing_of_each_caption():
    captions = read_captions(limit=6)
    drawn = torch.stack([torch.from_numpy(draw(Scene.from_dict(one.scene))).permute(2, 0, 1) for one in captions])
    found = []
    for images in (drawn, torch.full_like(drawn, 128)):
        score = judged(None)
        score.update(Batch(images[:4], captions[:4]))
        score.update(Batch(images[4:], captions[4:]))
        found.append(score.compute())
    assert found[0]["texture_distance_db"] == found[0]["texture_distance_db_se"] == 0
    expected = texture_distance(torch.full_like(drawn, 128) / 255, drawn / 255)
    assert found[1]["texture_distance_db"] == pytest.approx(expected.mean().item(), rel=1e-4)
    assert found[1]["texture_distance_db_se"] == pytest.approx(expected.std().item() / 6**0.5, rel=1e-4)


def test_a_perfect_share_is_not_claimed_to_be_certain():
    assert shapes.standard_error(1.0, 64) == pytest.approx(np.sqrt(65 / 66 * 1 / 66 / 66))
    assert shapes.standard_error(0.5, 10_000) == pytest.approx(0.005, rel=1e-3)


def test_shapes_scores_are_never_called_fid_or_clip_score():
    names = {name for number in shapes.ShapesScores.numbers for name in (number.key, number.title)}
    assert not {"fid", "clip_score", "FID", "CLIP score"} & names


def test_captions_of_another_world_are_refused():
    score = shapes.ShapesScores()
    score.check([Caption(1, "a small plain red circle on a gray background")])
    with pytest.raises(DataError, match="caption of image 2 is not of the shapes world: 'a dog' is not"):
        score.check([Caption(2, "a dog")])


def test_scores_do_not_depend_on_autocast(corner, vit_folder):
    """What a model generated in bfloat16 is judged in float32."""
    from fdplug.scores.features.extractors import load_extractor

    images = pictures(4, seed=9)
    plain = load_extractor.__wrapped__(vit_folder).features(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = load_extractor.__wrapped__(vit_folder).features(images)
    assert plain.dtype == inside.dtype == torch.float32
    assert torch.equal(plain, inside)
