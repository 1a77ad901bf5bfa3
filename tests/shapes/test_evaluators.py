from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fdplug.shapes.captions import Demand, Look, parse_caption
from fdplug.shapes.labels import ABSENT, agreement, labels
from fdplug.shapes.scene import Scene
from fdplug.shapes.training.batches import batch_of


@pytest.fixture(scope="module")
def drawn(scenes: list[Scene]) -> Tensor:
    return batch_of(scenes).images


@pytest.fixture(scope="module")
def captions(scenes: list[Scene]) -> list[str]:
    return [scene.caption for scene in scenes]


def test_drawn_scenes_are_recognised(judges: Any, drawn: Tensor, captions: list[str]) -> None:
    verdict = judges.semantics(drawn, captions)
    assert set(verdict) == {"layout", "background", "size", "fill", "colour", "shape", "all"}
    assert all(right.dtype == torch.bool and right.shape == (200,) for right in verdict.values())
    assert verdict["all"].float().mean() >= 0.97


def test_shuffled_captions_are_rejected(judges: Any, drawn: Tensor, captions: list[str]) -> None:
    shuffled = [*captions[1:], captions[0]]
    assert judges.semantics(drawn, shuffled)["all"].float().mean() <= 0.02
    assert judges.clip_score(drawn, shuffled).mean().abs() < 0.15
    assert judges.clip_score(drawn, captions).mean() > 0.8


def test_swapped_objects_are_rejected(judges: Any, scenes: list[Scene], drawn: Tensor) -> None:
    pairs = [index for index, scene in enumerate(scenes) if scene.things[0].look != scene.things[-1].look]
    swapped = [Demand(s.layout, s.background, s.demand.looks[::-1]).caption for s in (scenes[i] for i in pairs)]
    assert not judges.semantics(drawn[pairs], swapped)["all"].any()


def test_embeddings_are_unit_vectors(judges: Any, drawn: Tensor, captions: list[str]) -> None:
    for vectors in (judges.embed_images(drawn[:5]), judges.embed_texts(captions[:5])):
        assert vectors.shape == (5, 64)
        assert vectors.dtype == torch.float32
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(5))


def test_half_precision_images_are_accepted(judges: Any, drawn: Tensor) -> None:
    assert judges.embed_images(drawn[:2].half()).dtype == torch.float32


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (3, 64, 64), (2, 1, 64, 64)])
def test_other_sizes_are_refused(judges: Any, shape: tuple[int, ...]) -> None:
    message = r"take floating-point images of shape \(N, 3, 64, 64\)"
    with pytest.raises(ValueError, match=message):
        judges.embed_images(torch.zeros(shape))
    with pytest.raises(ValueError, match=message):
        judges.semantics(torch.zeros(shape), ["a small plain red circle on a gray background"] * 2)


def test_8_bit_images_are_refused(judges: Any) -> None:
    with pytest.raises(ValueError, match=r"not torch\.uint8"):
        judges.embed_images(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_counts_must_agree(judges: Any, drawn: Tensor) -> None:
    with pytest.raises(ValueError, match="2 images but 1 captions"):
        judges.clip_score(drawn[:2], ["a small plain red circle on a gray background"])


def test_captions_outside_the_grammar_are_refused(judges: Any, drawn: Tensor) -> None:
    with pytest.raises(ValueError, match="is not a `shapes` caption"):
        judges.semantics(drawn[:1], ["a photo of a cat"])


def test_labels_do_not_depend_on_the_phrasing() -> None:
    told = parse_caption("a small plain red circle right of a large dotted blue square on a gray background")
    other = parse_caption("a large dotted blue square left of a small plain red circle on a gray background")
    first, second = labels([told]), labels([other])
    assert first == second
    assert labels([Demand("one", "gray", (Look("small", "plain", "red", "circle"),))])["shape2"].item() == ABSENT


def test_all_is_the_conjunction_of_the_attributes() -> None:
    wanted = labels(
        [parse_caption("a small plain red circle above a large dotted blue square on a gray background")] * 2
    )
    answers = {head: index.clone() for head, index in wanted.items()}
    answers["colour2"][1] += 1
    verdict = agreement(answers, wanted)
    assert verdict["colour"].tolist() == verdict["all"].tolist() == [True, False]
    assert verdict["shape"].tolist() == [True, True]
