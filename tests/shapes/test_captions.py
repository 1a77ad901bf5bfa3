from __future__ import annotations

import itertools

import numpy as np
import pytest

from fdplug.shapes.annotations import references
from fdplug.shapes.captions import BACKGROUNDS, COLOURS, SHAPES, SIZES, Demand, Look, held_out, parse_caption, words
from fdplug.shapes.scene import Scene, training_scene


def test_caption_round_trip(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert parse_caption(scene.caption) == scene.demand
        assert parse_caption(scene.caption).caption == scene.caption


def test_caption_reads_as_documented() -> None:
    demand = parse_caption("a small red circle above a large blue square on a gray background")
    assert demand == Demand("above", "gray", (Look("small", "red", "circle"), Look("large", "blue", "square")))


def test_case_spaces_and_full_stop_do_not_matter() -> None:
    assert parse_caption(" A small  red Circle on a TEAL background.").layout == "one"


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "a dog",
        "a small red circle",
        "a small pink circle on a gray background",
        "a small red circle near a large blue square on a gray background",
        "a small red circle on a gray background and more",
    ],
)
def test_captions_outside_the_grammar_are_refused(caption: str) -> None:
    with pytest.raises(ValueError, match="is not a `shapes` caption; write it like 'a small red circle above"):
        parse_caption(caption)


@pytest.mark.parametrize(("told", "mirrored"), [("left of", "right of"), ("above", "below")])
def test_both_tellings_of_a_picture_are_held_out_together(told: str, mirrored: str) -> None:
    first, second = "a small red circle", "a large blue square"
    for background in BACKGROUNDS:
        one = f"{first} {told} {second} on a {background} background"
        other = f"{second} {mirrored} {first} on a {background} background"
        assert parse_caption(one).canonical() == parse_caption(other).canonical()
        assert held_out(one) == held_out(other)


def test_one_picture_in_fifty_is_held_out() -> None:
    looks = [Look(*parts) for parts in itertools.product(SIZES, COLOURS, SHAPES)]
    pairs = [Demand("left", "gray", pair).caption for pair in itertools.product(looks, looks)]
    assert 0.015 < sum(map(held_out, pairs)) / len(pairs) < 0.025


def test_the_training_sampler_cannot_produce_an_annotation_caption() -> None:
    evaluated = {reference.caption for reference in references()}
    assert all(held_out(caption) for caption in evaluated)
    rng = np.random.default_rng(5)
    assert not any(held_out(training_scene(rng).caption) for _ in range(5000))


def test_every_word_is_one_token() -> None:
    from fdplug.shapes import pipeline_folder
    from fdplug.shapes.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(pipeline_folder() / "tokenizer")
    assert [tokenizer.tokenize(word) for word in words()] == [[f"{word}</w>"] for word in words()]
    longest = "a small red circle left of a large blue square on a gray background"
    padded = tokenizer(longest, padding="max_length").input_ids
    assert len(padded) == tokenizer.model_max_length == 24
    assert padded[0] == tokenizer.bos_token_id == 0
    assert padded[15:] == [tokenizer.eos_token_id] * 9
