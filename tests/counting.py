"""FLOPs of networks that are alike in everything, traced once a session: a trace takes as long as forty passes.

For tests whose subject is not the count itself; those of the count are in tests/profiling, tests/denoisers and
tests/propagation, and trace every time.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from torch import Tensor, nn

from fdplug.profiling import flops
from fdplug.profiling.outline import outlined

_counted = flops._counted
_known = {}


@pytest.fixture(autouse=True)
def counted_once(monkeypatch):
    """Remember what networks of one structure cost, patches and all."""
    monkeypatch.setattr(flops, "_counted", _remembered)


def _remembered(network, arguments):
    key = repr((structure(network), outlined(arguments)))
    if key not in _known:
        _known[key] = _counted(network, arguments)
    return _known[key]


def structure(network):
    """Every module's name, class and attributes: numbers, texts, shapes, and the kinds of everything else."""
    return [(name, type(one), _seen(vars(one))) for name, one in network.named_modules()]


def _seen(value):
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype
    if isinstance(value, Mapping):
        return [(key, _seen(item)) for key, item in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [_seen(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, nn.Module) or not hasattr(value, "__dict__") or callable(value):
        return type(value), getattr(value, "__qualname__", "")
    return type(value), _seen({key: item for key, item in vars(value).items() if not hasattr(item, "__dict__")})
