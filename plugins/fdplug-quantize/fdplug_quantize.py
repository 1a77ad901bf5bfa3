"""Quantization of a denoiser's linear layers by torchao for fdplug: a transform.

Weights are held in 8 bits, and, where asked for, what enters a layer is rounded to 8 bits as it comes, with a scale for
every token: nothing is calibrated, and ranges that change from step to step do no harm. torchao keeps the numbers and
computes with them; here is decided which layers it gets, and what it changed is taken back exactly.
"""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fdplug_quantize_weights import SCHEMES, Layer, can_be_quantized, check, exchanged, held, weight_error

import fdplug
from fdplug.checks import choice
from fdplug.errors import ConfigError
from fdplug.transforms import Transform

if TYPE_CHECKING:
    from torch import nn

    from fdplug.denoisers import DenoiserFamily

FDPLUG_CONTRACT = "1.1"

log = logging.getLogger(__name__)


class Quantize(Transform):
    """Holds the weights of the denoiser's linear layers in 8 bits, and computes in 8 bits if asked to (torchao).

    The original weights wait in host memory until they are put back. Convolutions stay as they are.

    Args:
        scheme: `int8-weights` and `fp8-weights` save memory, and compute as before; `int8-dynamic` and `fp8-dynamic`
            also round what enters a layer, with a scale for every token, and multiply in 8 bits, which in fp8 takes a
            GPU that can.
        parts: of the denoiser: `all`, `encoder`, `decoder` (what is not encoder), or patterns of module names such as
            `["up_blocks.*", "*.attn1.*"]`.
        skip: patterns of module names that stay as they are, such as `["*time_emb*"]`.

    Attributes:
        report: what was exchanged, in one line: layers, bytes before and after, and the error of the weights.
    """

    name = "quantize"
    changes_cost = False

    def __init__(
        self, scheme: str = "int8-weights", parts: str | Sequence[str] = "all", skip: Sequence[str] = ()
    ) -> None:
        self.scheme = choice("scheme", scheme, tuple(SCHEMES))
        self.parts = _patterns("parts", parts)
        if not self.parts:
            raise ConfigError("parts names nothing: give all, encoder, decoder, or patterns of module names")
        self.skip = _patterns("skip", skip)
        self.report = "nothing is quantized"
        self._layers: list[Layer] = []

    def apply(self, pipe: Any) -> None:
        """Exchange the weights of every denoiser that the pipeline has.

        Raises:
            ConfigError: the device cannot do this, or no layer is chosen.
        """
        from fdplug.pipeline import find_families

        known: dict[int, Any] = {}
        chosen = [one for family, network in find_families(pipe) for one in self._chosen(family, network)]
        try:
            for module in chosen:
                self._layers.append(exchanged(module, self.scheme, known))
        except BaseException:
            self.undo(pipe)
            raise
        self.report = self._said(pipe)
        log.info("%s", self.report)

    def undo(self, pipe: Any) -> None:
        """Put every original weight back."""
        while self._layers:
            self._layers.pop().restore()

    def _chosen(self, family: DenoiserFamily, network: nn.Module) -> list[nn.Module]:
        """Return the layers of a denoiser that are to be quantized."""
        named = dict(network.named_modules())
        able = [name for name, one in named.items() if can_be_quantized(one, name, SCHEMES[self.scheme])]
        encoder = family.part(network, "encoder").modules if {"encoder", "decoder"} & set(self.parts) else ()
        chosen = [name for name in able if self._is_meant(name, encoder)]
        if not chosen:
            raise ConfigError(self._nothing(network, able))
        check(named[chosen[0]].get_parameter("weight"), self.scheme)
        return [named[name] for name in chosen]

    def _is_meant(self, name: str, encoder: Sequence[str]) -> bool:
        if _is_in(name, self.skip):
            return False
        within = any(name == one or name.startswith(f"{one}.") for one in encoder)
        words = {"all": True, "encoder": within, "decoder": not within}
        return any(words[one] if one in words else _is_in(name, (one,)) for one in self.parts)

    def _nothing(self, network: nn.Module, able: Sequence[str]) -> str:
        what = type(network).__name__
        if not able:
            sides = SCHEMES[self.scheme].multiple
            scheme = f"{self.scheme} could quantize" + (f" (both sides multiples of {sides})" if sides > 1 else "")
            return f"{what} has no linear layer that {scheme}, or all of them are quantized already"
        tops = list(dict.fromkeys(name.partition(".")[0] for name in able))
        return (
            f"parts {list(self.parts)} without {list(self.skip)} names none of the {len(able)} linear layers of "
            f"{what}; they are in {', '.join(tops)}: take all, encoder, decoder, or patterns such as '{tops[0]}.*'"
        )

    def _said(self, pipe: Any) -> str:
        """Return the report, of all denoisers together."""
        from fdplug.pipeline import find_families

        before = {id(one.original): held(one.original) for one in self._layers}
        after = {id(one.quantized): held(one.quantized) for one in self._layers}
        now = {id(one): held(one) for _, network in find_families(pipe) for one in network.parameters()}
        saved = sum(before.values()) - sum(after.values())
        return (
            f"{self.scheme}: weights of {len(self._layers)} linear layers {_size(sum(before.values()))} -> "
            f"{_size(sum(after.values()))}, the denoiser {_size(sum(now.values()) + saved)} -> "
            f"{_size(sum(now.values()))}; rounding changed these weights by {weight_error(self._layers):.2%}"
        )


def _patterns(name: str, given: Any) -> tuple[str, ...]:
    found: tuple[Any, ...] = (None,)
    if isinstance(given, Sequence):
        found = (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(one, str) and one for one in found):
        raise ConfigError(f"{name} must be a word or a list of patterns of module names, got {given!r:.60}")
    return found


def _is_in(name: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern names a module, or one that it is inside of."""
    ways = name.split(".")
    places = [".".join(ways[: depth + 1]) for depth in range(len(ways))]
    return any(fnmatch.fnmatchcase(place, pattern) for place in places for pattern in patterns)


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


@fdplug.hookimpl
def fdplug_transforms() -> Iterator[type[Transform]]:
    """Yield the transform."""
    yield Quantize
