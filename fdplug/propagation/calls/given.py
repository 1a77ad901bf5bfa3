"""What a call was given: nested values and tensors, kept to tell whether another call is given the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fdplug import trees


class Given:
    """Nested values and tensors as they are now, and how often each tensor had been written to."""

    def __init__(self, values: Any) -> None:
        self._shape, self._tensors = trees.dissect(values)
        self._versions = [(version(one), place(one)) for one in self._tensors]
        self._copies = [(one, one.clone()) for one in self._tensors if _is_uncounted(one)]

    @property
    def changed(self) -> bool:
        """Whether a tensor was written to since."""
        if [(version(one), place(one)) for one in self._tensors] != self._versions:
            return True
        return not all(_same(one, copy) for one, copy in self._copies)

    @property
    def requires_gradient(self) -> bool:
        """Whether a tensor is one that somebody optimises."""
        return any(one.requires_grad and one.is_leaf for one in self._tensors)

    def same_objects(self, other: Given) -> bool:
        """Whether both hold equal values and the very same tensors."""
        mine, others = self._tensors, other._tensors
        return len(mine) == len(others) and all(map(_is, mine, others)) and self._equal_values(other)

    def equals(self, other: Given) -> bool:
        """Whether both hold equal values and equal tensors."""
        mine, others = self._tensors, other._tensors
        return len(mine) == len(others) and self._equal_values(other) and all(map(_same, mine, others))

    def _equal_values(self, other: Given) -> bool:
        try:
            return bool(self._shape == other._shape)
        except (ValueError, TypeError, RuntimeError):  # arrays, whose comparison is no single truth
            return False


def _is(one: Tensor, other: Tensor) -> bool:
    return one is other


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same.

    Most pipelines hand over one tensor at every step; values are compared only where a new one is built each time, and
    only then is an accelerator waited for.
    """
    if one is other:
        return True
    if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
        return False
    if one.data_ptr() == other.data_ptr() and one.stride() == other.stride():
        return True
    return torch.equal(one, other)


def _is_uncounted(tensor: Tensor) -> bool:
    """Whether only a copy tells that a tensor was written to, and none has to be fetched from an accelerator."""
    return tensor.is_inference() and tensor.device.type == "cpu"


def version(tensor: Tensor) -> int:
    """Return how often a tensor was written to; tensors of inference mode do not count it."""
    return -1 if tensor.is_inference() else tensor._version


def place(tensor: Tensor) -> int:
    """Return where a tensor's values lie, which `tensor.data = ...` changes; 0 where that is not known."""
    try:
        return tensor.data_ptr()
    except RuntimeError:  # tensors that are made of others, as some quantized ones
        return 0
