"""How much memory tensors take while something runs."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from fdplug import trees
from fdplug.repeated import Repeated


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of tensors that operations make while it is on, for as long as they live.

    Works alike on every device, as it asks tensors and not an allocator. Scratch memory of an operation is not seen.

    Attributes:
        live: bytes that are alive now.
        peak: the most that were alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count the memory it returns, unless that is its arguments'."""
        if any(issubclass(one, Repeated) for one in types):
            return NotImplemented  # it is asked first, and what it does comes here
        kwargs = kwargs or {}
        given = {id(tensor.untyped_storage()) for tensor in trees.leaves((list(args), kwargs))}
        result = func(*args, **kwargs)
        for tensor in trees.leaves(result):
            storage = tensor.untyped_storage()
            if id(storage) not in given and storage not in self._known:
                self._count(storage)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self._known.add(storage)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.live -= size


def resident(pipe: Any, device: torch.device) -> int:
    """Return the bytes of all weights of a pipeline that lie on a device."""
    modules = [one for one in pipe.components.values() if isinstance(one, nn.Module)]
    tensors = {id(one): one for module in modules for one in (*module.parameters(), *module.buffers())}
    return sum(one.nbytes for one in tensors.values() if one.device == device)
