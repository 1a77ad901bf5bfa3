"""How much memory tensors take while something runs, and how many steps of a span that leaves room for."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fdplug import trees
from fdplug.repeated import Repeated

SHARE = 0.2  # with what is kept of key steps, the peak stays under a quarter more


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


class SpanBudget:
    """The most rows of one parallel call that keep the peak under 1.25 times that of the pipeline as it is.

    The pipeline's peak is its weights and what one call of the denoiser takes. That is measured, once for every shape
    of the sample, during the first call of a run, which therefore answers one step only. More rows take proportionally
    more. The images do not depend on the outcome but for rounding.
    """

    def __init__(self, pipe: Any, share: float = SHARE) -> None:
        self._pipe = pipe
        self._share = share
        self._rows: dict[tuple[Any, ...], int] = {}

    def rows(self, sample: Tensor) -> int:
        """Return the most rows for samples like this; as many as it has before anything was measured."""
        return self._rows.get(_key(sample), sample.shape[0])

    def knows(self, sample: Tensor) -> bool:
        """Whether calls for samples like this have been measured."""
        return _key(sample) in self._rows

    @contextmanager
    def measuring(self, sample: Tensor) -> Iterator[None]:
        """Measure the call of the denoiser that is made inside, for this sample alone."""
        with _uncompiled(), LiveMemory() as memory:
            yield
        room = self._share * (resident(self._pipe, sample.device) + memory.peak)
        self._rows[_key(sample)] = int(sample.shape[0] * (1 + room / max(1, memory.peak)))


def _uncompiled() -> AbstractContextManager[Any]:
    """Run what `torch.compile` has compiled as it was before: memory inside a compiled graph cannot be counted."""
    stance = getattr(torch.compiler, "set_stance", None)  # torch 2.6
    return nullcontext() if stance is None else stance("force_eager")


def _key(sample: Tensor) -> tuple[Any, ...]:
    return (tuple(sample.shape), sample.dtype, sample.device)
