from __future__ import annotations

import itertools

import numpy as np
import pytest

from fdplug.shapes.annotations import references
from fdplug.shapes.captions import (
    COLOURS,
    FILLS,
    HELD_OUT_COLOURS,
    HELD_OUT_FILLS,
    SHAPES,
    SIZES,
    Demand,
    Look,
    held_out,
    parse_caption,
    words,
)
from fdplug.shapes.scene import Scene, training_scene


def test_caption_round_trip(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert parse_caption(scene.caption) == scene.demand
        assert parse_caption(scene.caption).caption == scene.caption


def test_caption_reads_as_documented() -> None:
    demand = parse_caption("a small plain red circle above a large striped blue square on a gray background")
    looks = (Look("small", "plain", "red", "circle"), Look("large", "striped", "blue", "square"))
    assert demand == Demand("above", "gray", looks)


def test_a_chain_of_three_keeps_the_order_of_mention() -> None:
    told = "a small plain red cross right of a large dotted blue square right of a small checked black diamond"
    demand = parse_caption(f"{told} on a woven background")
    assert (demand.layout, [look.shape for look in demand.looks]) == ("right", ["cross", "square", "diamond"])
    assert [look.shape for look in demand.canonical().looks] == ["diamond", "square", "cross"]
    assert demand.canonical().layout == "left"


def test_case_spaces_and_full_stop_do_not_matter() -> None:
    assert parse_caption(" A small  plain red Circle on a TEAL background.").layout == "one"


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "a dog",
        "a small red circle on a gray background",
        "a small plain red circle",
        "a small plain pink circle on a gray background",
        "a small plain red circle near a large plain blue square on a gray background",
        "a small plain red circle on a gray background and more",
        "a small plain red circle above a small plain red circle left of a small plain red circle on a gray background",
    ],
)
def test_captions_outside_the_grammar_are_refused(caption: str) -> None:
    with pytest.raises(ValueError, match="is not a `shapes` caption; write it like 'a small plain red circle above"):
        parse_caption(caption)


@pytest.mark.parametrize(("told", "mirrored"), [("left of", "right of"), ("above", "below")])
def test_both_tellings_of_a_picture_are_one(told: str, mirrored: str) -> None:
    objects = ["a small plain red circle", "a large striped blue square", "a small dotted white cross"]
    for count in (2, 3):
        one = f" {told} ".join(objects[:count]) + " on a gray background"
        other = f" {mirrored} ".join(objects[:count][::-1]) + " on a gray background"
        assert parse_caption(one).canonical() == parse_caption(other).canonical()
        assert held_out(one), "a striped square is held out"
        assert held_out(other)


def test_held_out_pairs_are_six_and_three() -> None:
    looks = [Look(*parts) for parts in itertools.product(SIZES, FILLS, COLOURS, SHAPES)]
    colours = {(look.colour, look.shape) for look in looks if look.held_out and look.fill == "plain"}
    assert len(colours) == 6
    fills = {(look.fill, look.shape) for look in looks if look.held_out and (look.colour, look.shape) not in colours}
    assert len(fills) == 3
    assert {shape for _, shape in colours} == set(SHAPES)
    for name, known in (("colour", COLOURS), ("fill", FILLS), ("shape", SHAPES)):
        assert {getattr(look, name) for look in looks if not look.held_out} == set(known)


def test_the_training_sampler_cannot_produce_an_annotation_caption() -> None:
    evaluated = {reference.caption for reference in references()}
    assert all(held_out(caption) for caption in evaluated)
    rng = np.random.default_rng(5)
    seen = [look for _ in range(3000) for look in training_scene(rng).demand.looks]
    assert not any((look.colour, look.shape) in HELD_OUT_COLOURS for look in seen)
    assert not any((look.fill, look.shape) in HELD_OUT_FILLS for look in seen)


def test_every_word_is_one_token() -> None:
    from fdplug.shapes import pipeline_folder
    from fdplug.shapes.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(pipeline_folder() / "tokenizer")
    assert [tokenizer.tokenize(word) for word in words()] == [[f"{word}</w>"] for word in words()]
    looks = ["a small plain red circle", "a large dotted blue square", "a small checked black diamond"]
    padded = tokenizer(" left of ".join(looks) + " on a gray background", padding="max_length").input_ids
    assert len(padded) == tokenizer.model_max_length == 39
    assert padded[0] == tokenizer.bos_token_id == 0
    assert tokenizer.eos_token_id not in padded[:24]
    assert padded[24:] == [tokenizer.eos_token_id] * 15
