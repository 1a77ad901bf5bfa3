"""What is computed at replayed steps: whether its rows are independent, and whether it has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from fdplug.denoisers.base import plain
from fdplug.propagation.calls.given import version

if TYPE_CHECKING:
    from fdplug.denoisers import Part

# Modules of torch's own without options that somebody would change in the middle of a run.
_SIMPLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.GroupNorm, nn.LayerNorm, nn.SiLU, nn.GELU, nn.Dropout)
_TORCH = frozenset(vars(nn.Module())) - {"training"}
_PLAIN = (bool, int, float, str, type(None))


class Watched:
    """The modules of a denoiser outside of its part."""

    def __init__(self, network: nn.Module, part: Part) -> None:
        network = plain(network)
        inside = {id(one) for name in part.modules for one in network.get_submodule(name).modules()}
        outside = [one for one in network.modules() if id(one) not in inside]
        self._modules = [one for one in outside if type(one) not in _SIMPLE]

    def couples_rows(self) -> str | None:
        """Say which attention processor may look across the rows of a batch; None where all are known to be row-wise.

        Diffusers' own processors are, but for perturbed-attention guidance, which cuts the batch into its thirds.
        """
        for module in self._modules:
            processor = vars(module).get("processor", vars(module).get("_modules", {}).get("processor"))
            kind = type(processor)
            if processor is not None and (
                not kind.__module__.startswith("diffusers.models.") or "PAG" in kind.__name__
            ):
                return f"{kind.__module__}.{kind.__name__}"
        return None

    def stamp(self) -> tuple[Any, ...]:
        """Return what the modules are set to, cheaply: options, adapters and their strengths, processors."""
        return tuple(_stamp(module) for module in self._modules)


def _stamp(holder: Any) -> tuple[Any, ...]:
    held = vars(holder)
    own = tuple(_value(name, value) for name, value in held.items() if name not in _TORCH)
    return own if not isinstance(holder, nn.Module) else (*own, *map(id, held["_modules"].values()))


def _value(name: str, value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return name, value
    if kind is dict:
        return name, tuple((key, _value("", one)) for key, one in value.items())
    if kind in (list, tuple):
        return name, tuple(_value("", one) for one in value)
    if isinstance(value, Tensor):
        return name, id(value), version(value)
    if name == "processor" and hasattr(value, "__dict__"):
        return name, id(value), _stamp(value)
    return name, id(value)
