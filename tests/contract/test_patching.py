"""Patches: they lie on the instance, call through, and are undone exactly, all or none."""

from __future__ import annotations

import copy

import pytest

from fdplug.errors import PatchOrderError
from fdplug.patching import Patch, PatchStack


class Adder:
    def add(self, a, b=1):
        """Add."""
        return a + b


def doubled(original, *args, **kwargs):
    return 2 * original(*args, **kwargs)


def raising(original, *args, **kwargs):
    raise ZeroDivisionError


def test_a_patch_calls_through_and_is_undone():
    one, other = Adder(), Adder()
    patch = Patch(one, "add", doubled)
    patch.apply()
    assert (one.add(2, b=3), other.add(2, b=3)) == (10, 5)
    assert one.add.__doc__ == "Add."
    patch.remove()
    assert one.__dict__ == {}


def test_a_patch_of_a_patch_is_undone_in_order_only():
    one = Adder()
    first = Patch(one, "add", doubled)
    first.apply()
    second = Patch(one, "add", doubled)
    second.apply()
    assert one.add(1) == 8
    with pytest.raises(PatchOrderError, match=r"Adder.add was replaced again, by fdplug.patching; undo that first"):
        first.remove()
    second.remove()
    assert one.__dict__["add"] is first
    first.remove()
    assert one.add(1) == 2


def test_what_lay_on_the_instance_before_is_put_back():
    one = Adder()
    one.add = own = lambda a: -a
    patch = Patch(one, "add", doubled)
    patch.apply()
    assert one.add(3) == -6
    patch.remove()
    assert one.__dict__["add"] is own


def test_a_patch_that_is_gone_says_so():
    one = Adder()
    patch = Patch(one, "add", doubled)
    patch.apply()
    del one.add
    with pytest.raises(PatchOrderError, match=r"the patch of Adder.add is gone"):
        patch.remove()


def test_a_deep_copy_of_the_owner_is_not_patched():
    one = Adder()
    Patch(one, "add", doubled).apply()
    copied = copy.deepcopy(one)
    assert (one.add(2), copied.add(2)) == (6, 3)
    assert copied.add.__self__ is copied


def test_a_stack_applies_all_or_none():
    one = Adder()

    def patches():
        yield Patch(one, "add", doubled)
        yield Patch(one, "no_such_method", doubled)

    with pytest.raises(AttributeError, match="no_such_method"):
        PatchStack().apply(patches())
    assert one.__dict__ == {}


def test_a_covered_stack_changes_nothing():
    one, other = Adder(), Adder()
    stack = PatchStack()
    stack.apply([Patch(one, "add", doubled), Patch(other, "add", doubled)])
    cover = Patch(one, "add", raising)
    cover.apply()
    with pytest.raises(PatchOrderError, match="undo that first"):
        stack.remove()
    assert other.add(1) == 4
    cover.remove()
    stack.remove()
    assert one.__dict__ == other.__dict__ == {}
