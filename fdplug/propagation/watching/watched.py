"""What is computed at replayed steps: whether its rows are independent, and whether it has changed since."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fdplug import trees
from fdplug.denoisers.base import is_compiled, plain
from fdplug.errors import PropagationError
from fdplug.profiling.outline import processors_of
from fdplug.propagation import messages
from fdplug.propagation.calls.given import version
from fdplug.propagation.watching.rows import Known, first_across, functions, origin, unusual
from fdplug.propagation.watching.snapshot import PLAIN, TORCH, Settings, Snapshot, but_weights

if TYPE_CHECKING:
    from fdplug.denoisers import Part

_KEEPERS = {"DeepCache", "cache_dit", "para_attn"}  # packages that keep features from step to step themselves


class Watched:
    """The modules of a denoiser, those outside of its part above all; good for as long as they are current.

    Attributes:
        inside: the modules of the part, whose features are replayed.
        is_compiled: whether `torch.compile` was called on the denoiser or on a module inside it.
    """

    def __init__(self, network: nn.Module, part: Part, kind: type) -> None:
        """Look through a denoiser.

        Args:
            network: the denoiser.
            part: what is replayed of it.
            kind: its class, as its family knows it.

        Raises:
            PropagationError: nobody can look into one of its modules.
        """
        self._network, self._known = plain(network), Known(kind)
        self._modules = trees.named_modules(self._network)
        _refuse_scripts(self._modules)
        self.is_compiled = self._network is not network or any(map(is_compiled, self._modules.values()))
        own = {self._network.get_submodule(name) for name in part.modules}
        self._outside = trees.named_modules(self._network, own)
        outside = set(map(id, self._outside.values()))
        self.inside = [one for one in self._modules.values() if id(one) not in outside]
        self._settings = Settings(list(self._outside.values()))
        self._around = Settings(list(self._modules.values()), but_weights)
        self._around.snapshot()
        self._around.forget()

    def is_current(self) -> bool:
        """Whether the denoiser still consists of these modules, with the same hooks, functions and options."""
        return self._around.is_as_forgotten()

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """All modules of the denoiser, by name."""
        return self._modules

    @functools.cached_property
    def couples_anywhere(self) -> bool:
        """Whether something may look across the rows of a batch, inside of the part or outside."""
        return self._coupling(self._modules) is not None

    def couples_rows(self) -> str | None:
        """Say what may look across the rows of a batch outside of the part; None where all is known to be row-wise."""
        return self._coupling(self._outside) if self.couples_anywhere else None

    def _coupling(self, modules: Mapping[str, nn.Module]) -> str | None:
        return first_across(((name, one) for name, one in self._unusual if name in modules), self._network, self._known)

    @functools.cached_property
    def _unusual(self) -> list[tuple[str, nn.Module]]:
        return unusual(self._modules.items())

    def keeper(self) -> str | None:
        """Name what keeps features from step to step itself, as another cache does; None where nothing does."""
        for name, module in self._unusual:
            held = vars(module)
            origins = [type(module).__module__, *(origin(around) for _, around in functions(held))]
            package = next((one.partition(".")[0] for one in origins if one.partition(".")[0] in _KEEPERS), None)
            if package is not None:
                return f"{package}, at {name or type(module).__name__}"
            hooks = getattr(held.get("_diffusers_hook"), "hooks", {}).values()
            hook = next((type(one).__name__ for one in hooks if getattr(one, "_is_stateful", False)), None)
            if hook is not None:
                return f"diffusers' {hook}, at {name or type(module).__name__}"
        return None

    @property
    def processors(self) -> Counter[type]:
        """The classes of all attention processors, which a pipeline may exchange for the time of a run."""
        return processors_of(self._modules.values())

    def snapshot(self) -> Snapshot:
        """Return what the modules are set to: options, adapters and their strengths, processors, hooks, weights."""
        return self._settings.snapshot()

    def is_as(self, before: Snapshot) -> bool:
        """Whether they are set to what they were set to before."""
        now = self._settings.snapshot()
        return now is before or now.is_alike(before)

    def forget(self) -> None:
        """Hold on to nothing that they were set to."""
        self._settings.forget()


def _refuse_scripts(modules: Mapping[str, nn.Module]) -> None:
    script = next((name for name, one in modules.items() if isinstance(one, torch.jit.ScriptModule)), None)
    if script is not None:
        raise PropagationError(messages.script(script))


class Inside:
    """The attention processors inside of a part that are not diffusers' own, and what they hold."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        held = [vars(one).get("processor", one._modules.get("processor")) for one in modules]
        own = [one for one in held if one is not None and not type(one).__module__.startswith("diffusers.models.")]
        self._state = [(one, _contents(one)) for one in own]

    def keeper(self) -> str | None:
        """Name a processor that holds something else than before the first pass; look only once."""
        state, self._state = self._state, []
        for one, contents in state:
            if _contents(one) != contents:
                return f"attention processor {type(one).__module__}.{type(one).__name__}"
        return None


def _contents(holder: Any, depth: int = 4) -> Any:
    """Return what an object holds, down to a few levels, without looking at the values of tensors."""
    if isinstance(holder, Tensor):
        return id(holder), version(holder)
    if depth == 0 or type(holder) in PLAIN:
        return holder if type(holder) in PLAIN else id(holder)
    if isinstance(holder, dict):
        return [(repr(key), _contents(one, depth - 1)) for key, one in holder.items()]
    if isinstance(holder, list | tuple | set):
        return [_contents(one, depth - 1) for one in holder]
    if isinstance(holder, nn.Module):
        held = {name: value for name, value in vars(holder).items() if name not in TORCH}
        return [(name, _contents(one, depth - 1)) for name, one in held.items()]
    state = getattr(holder, "__dict__", None)
    return id(holder) if state is None else (id(holder), _contents(state, depth))
