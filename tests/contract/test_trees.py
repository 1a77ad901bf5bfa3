"""Tensors in nested outputs: found once each, replaced in place, repeated and cut by rows."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple
from types import MappingProxyType

import pytest
import torch
from diffusers.configuration_utils import FrozenDict
from diffusers.models.unets.unet_2d import UNet2DOutput

from fdplug import trees

Pair = namedtuple("Pair", "left right")


def rows(*numbers):
    return torch.tensor(numbers, dtype=torch.float32)[:, None]


def test_every_container_keeps_its_type():
    tensor = rows(1, 2)
    tree = {"list": [tensor, 5], "pair": Pair(tensor, None), "output": UNet2DOutput(sample=tensor), "text": "x"}
    found = trees.map_tensors(lambda one: one + 1, tree)
    assert type(found["list"]) is list
    assert isinstance(found["pair"], Pair)
    assert isinstance(found["output"], UNet2DOutput)
    assert torch.equal(found["output"].sample, rows(2, 3))
    assert (found["list"][1], found["pair"].right, found["text"]) == (5, None, "x")


@pytest.mark.parametrize(
    "kind",
    [OrderedDict, MappingProxyType, FrozenDict, lambda held: defaultdict(list, held)],
    ids=["ordered", "proxy", "frozen", "default"],
)
def test_every_mapping_keeps_its_type_and_its_keys(kind):
    given = kind({"a": torch.ones(2), "b": 3})
    found = trees.map_tensors(lambda one: one + 1, given)
    assert type(found) is type(given)
    assert torch.equal(found["a"], torch.full((2,), 2.0))
    assert found["b"] == 3
    if isinstance(given, defaultdict):
        assert found["missing"] == []


def test_keys_need_not_be_text():
    found = trees.map_tensors(lambda one: one + 1, OrderedDict({0: torch.ones(1), ("a", 1): torch.ones(1)}))
    assert list(found) == [0, ("a", 1)]


def test_a_tensor_that_occurs_twice_is_one_leaf_and_stays_one():
    tensor = rows(1)
    assert len(trees.leaves([tensor, (tensor, rows(1))])) == 2
    left, (right,) = trees.map_tensors(torch.clone, [tensor, (tensor,)])
    assert left is right


def test_a_dissected_output_is_filled_again():
    tree = {"a": rows(1), "b": [rows(2), "x"]}
    skeleton, tensors = trees.dissect(tree)
    other, _ = trees.dissect({"a": rows(7), "b": [rows(8), "x"]})
    assert skeleton == other
    assert skeleton != trees.dissect({"a": rows(1), "b": [rows(2), "y"]})[0]
    filled = skeleton.fill(tuple(tensor * 10 for tensor in tensors))
    assert torch.equal(filled["b"][0], rows(20))
    assert filled["b"][1] == "x"


def test_rows_are_repeated_time_major_and_taken_back():
    tree = {"rows": rows(1, 2), "frames": rows(1, 2, 3, 4), "scale": torch.tensor(3.0), "one": rows(9)}
    repeated = trees.repeat_rows(tree, rows=2, times=3)
    assert torch.equal(torch.cat([repeated["rows"]]), rows(1, 2, 1, 2, 1, 2))
    assert torch.equal(torch.cat([repeated["frames"]]), rows(*[1, 2, 3, 4] * 3))
    assert repeated["scale"].dim() == 0
    assert torch.equal(repeated["one"], rows(9))
    first = trees.first_rows(repeated, rows=2, times=3)
    assert torch.equal(first["rows"], tree["rows"])
    assert torch.equal(first["frames"], tree["frames"])


def test_plain_tensors_are_cut_to_their_first_rows_too():
    assert torch.equal(trees.first_rows(rows(1, 2, 3, 4), rows=2, times=2), rows(1, 2))
    assert torch.equal(trees.first_rows(rows(1, 2, 3), rows=2, times=2), rows(1, 2, 3))


@pytest.mark.parametrize(("start", "stop", "expected"), [(0, 1, (1, 2)), (1, 2, (3, 4)), (0, 2, (1, 2, 3, 4))])
def test_rows_are_cut_with_their_frames(start, stop, expected):
    assert torch.equal(trees.cut_rows(rows(1, 2, 3, 4), 2, start, stop), rows(*expected))


def test_an_output_is_split_into_one_tree_per_part():
    parts = trees.split_rows({"sample": rows(1, 2, 3, 4)}, 2)
    assert [part["sample"].flatten().tolist() for part in parts] == [[1, 2], [3, 4]]
