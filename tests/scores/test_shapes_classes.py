"""shapes-IS, shapes-precision and shapes-recall against plain loops over pictures and classes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from fdplug.predict.data.captions import read_captions
from fdplug.predict.data.references import ReferenceImages
from fdplug.scores.base import Batch
from fdplug.scores.features.extractors import load_extractor
from fdplug.scores.features.reference import Reference
from fdplug.scores.shapes_classes import ShapesClasses
from fdplug.shapes import CLASSES


def _drawn(count):
    images = ReferenceImages(read_captions(CLASSES, count))
    return images, torch.stack([torch.tensor(images.read(index)).permute(2, 0, 1) for index in range(count)])


def _reference_probabilities(extractor, images):
    """Of every class, product by product: background, fill, colour, shape."""
    with torch.no_grad():
        answers = extractor.evaluators.classifier(images.float() / 255)
    each = [answers[head].double().softmax(-1).tolist() for head in ("background", "fill1", "colour1", "shape1")]
    return np.array([[math.prod(one) for one in itertools.product(*heads)] for heads in zip(*each, strict=True)])


def _reference_share_inside(points, centres, k):
    radii = [sorted(np.linalg.norm(centres - one, axis=1))[k] for one in centres]
    inside = [any(math.dist(one, c) <= radius for c, radius in zip(centres, radii, strict=True)) for one in points]
    return sum(inside) / len(points)


def test_classes_are_products_of_what_the_classifier_says():
    _, images = _drawn(3)
    extractor = load_extractor("shapes")
    expected = _reference_probabilities(extractor, images)
    assert expected.shape == (3, extractor.num_classes) == (3, 6 * 4 * 8 * 5)
    np.testing.assert_allclose(extractor.probabilities(images).numpy(), expected, atol=1e-6)


def test_the_scores_are_those_of_plain_loops():
    real, drawn = _drawn(24)
    made = drawn[4:16].flip(-1)
    score = ShapesClasses()
    score.load("cpu")
    score.begin(Reference(real))
    score.update(Batch(made[:5]))
    score.update(Batch(made[5:]))
    found = score.compute()

    extractor = load_extractor("shapes")
    p = _reference_probabilities(extractor, made)
    divergence = (p * np.log(p / p.mean(0))).sum(1).mean()
    assert found["shapes_is"] == pytest.approx(math.exp(divergence), rel=1e-5)
    assert 4 < found["shapes_is"] <= 12, "twelve pictures of twelve classes"
    a, b = (extractor.features(one).double().numpy() for one in (made, drawn))
    assert found["shapes_precision"] == pytest.approx(_reference_share_inside(a, b, 3))
    assert found["shapes_recall"] == pytest.approx(_reference_share_inside(b, a, 3))


def test_two_sets_of_images_are_kept_apart():
    real, drawn = _drawn(8)
    first = ShapesClasses()
    first.load("cpu")
    first.begin(Reference(real))
    import copy

    second = copy.copy(first)
    second.begin(Reference(real))
    first.update(Batch(drawn))
    assert first.compute()["shapes_precision"] == 1
    second.update(Batch(drawn[:4].roll(1, 0)))
    assert second.compute()["shapes_is"] < first.compute()["shapes_is"]
