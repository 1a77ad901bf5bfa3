"""What the stages are told: labels of places, weights of errors, positions of the text tower."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fdplug.shapes.labels import ABSENT, ARRANGEMENTS, labels
from fdplug.shapes.scene import Scene, Thing, random_scene
from fdplug.shapes.tokenizer import CONTEXT
from fdplug.shapes.training.batches import batch_of
from fdplug.shapes.training.evaluators import cells
from fdplug.shapes.training.text import AFTER_CAPTION, TextModule, new_tokenizer, tokens_of
from fdplug.shapes.training.unet import noise_weights, object_weights, surroundings
from fdplug.shapes.training.vae import importance


def _thing(x: float, y: float) -> Thing:
    return Thing("small", "plain", "red", "cross", x, y, 7.5)


def test_cells_are_counted_from_the_left_however_the_picture_is_told() -> None:
    told = Scene("right", "gray", (_thing(50, 30), _thing(31, 33), _thing(11, 28)))
    other = Scene("left", "gray", told.things[::-1])
    expected = [7 * 16 + 2, 8 * 16 + 7, 7 * 16 + 12]
    assert cells([told, other]).tolist() == [expected, expected]
    assert cells([Scene("one", "gray", (_thing(0.5, 63.5),))]).tolist() == [[15 * 16, ABSENT, ABSENT]]


def test_cells_and_labels_speak_of_the_same_objects() -> None:
    rng = np.random.default_rng(1)
    for scene in (random_scene(rng) for _ in range(50)):
        row = cells([scene])[0].tolist()
        present = [labels([scene.demand])[f"shape{n}"].item() != ABSENT for n in (1, 2, 3)]
        assert [cell != ABSENT for cell in row] == present
        kept = [cell for cell in row if cell != ABSENT]
        place = (lambda cell: cell // 16) if scene.layout in ("above", "below") else (lambda cell: cell % 16)
        assert kept == sorted(kept, key=place)


def test_arrangements_tell_count_and_direction() -> None:
    pair, triple = (_thing(17, 32), _thing(47, 32)), (_thing(11, 32), _thing(32, 32), _thing(53, 32))
    scenes = [Scene("one", "gray", pair[:1])]
    scenes += [
        Scene(layout, "gray", things) for things in (pair, triple) for layout in ("left", "right", "above", "below")
    ]
    found = labels([scene.demand for scene in scenes])["layout"].tolist()
    assert found == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert len(ARRANGEMENTS) == 5


def test_every_third_of_the_positions_after_the_caption_names_one_object() -> None:
    module = TextModule(len(new_tokenizer()))
    logits = module(tokens_of(new_tokenizer(), ["a small plain red cross on a gray background"]))
    assert logits["layout"].shape[1] == CONTEXT - AFTER_CAPTION == 15
    assert [logits[f"shape{n}"].shape[1] for n in (1, 2, 3)] == [5, 5, 5]


def test_object_weights_have_mean_one_and_wait_for_low_noise() -> None:
    masks = torch.zeros(2, 16, 16, dtype=torch.bool)
    masks[:, :8] = True
    weights = object_weights(masks, torch.tensor([0.1, 2.0]))
    assert (weights[0] == 1).all()
    assert weights[1, 0, 0].item() == pytest.approx(3 / 2)
    assert weights[1, 15, 0].item() == pytest.approx(1 / 2)
    torch.testing.assert_close(weights.mean(dim=(1, 2)), torch.ones(2))


def test_surroundings_are_the_cells_an_object_touches_and_their_neighbours() -> None:
    mask = batch_of([Scene("one", "gray", (Thing("small", "plain", "red", "square", 32, 32, 8),))]).masks
    touched = {(row // 4, column // 4) for row, column in np.argwhere(mask[0, 0].numpy() > 0)}
    near = {(row + i, column + j) for row, column in touched for i in (-1, 0, 1) for j in (-1, 0, 1)}
    assert {tuple(cell) for cell in np.argwhere(surroundings(mask)[0].numpy())} == near


def test_noise_weights_limit_low_and_high_noise() -> None:
    ratio = torch.tensor([100.0, 5.0, 1.0, 0.5, 0.001])
    expected = [0.05 * 1.01, 1.2, 2.0, 3.0, 4.0]
    torch.testing.assert_close(noise_weights(ratio), torch.tensor(expected))


def test_the_autoencoder_cares_most_about_outlines() -> None:
    masks = torch.zeros(1, 1, 32, 32)
    masks[..., 8:24, 8:24] = 1
    weights = importance(masks)[0, 0]
    for row, column in np.ndindex(32, 32):
        window = masks[0, 0, max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        outline = float(window.max() - window.min())
        assert weights[row, column] == 1 + 4 * masks[0, 0, row, column] + 20 * outline
    assert weights[0, 0] == 1
    assert weights[16, 16] == 5
    assert weights[16, 7] == 21
    assert weights[16, 8] == 25
