"""Replace one method on one instance, and put back exactly what was there.

A patch lies in the instance's `__dict__` and calls through to whatever it found: the class's method, or another
library's patch (accelerate's offload hooks, diffusers' model hooks). It is undone only while it lies on top.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from types import MethodType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from fdplug.errors import PatchOrderError

if TYPE_CHECKING:
    from torch import nn

Around = Callable[..., Any]
_ABSENT = object()


class Patch:
    """Calls `around(original, *args, **kwargs)` in place of `owner.name(*args, **kwargs)`.

    The signature stays that of the original. A copy of the owner, deep or pickled, gets the original back, bound to it.
    """

    def __init__(self, owner: Any, name: str, around: Around) -> None:
        self.owner = owner
        self.name = name
        self.around = around
        self.original: Callable[..., Any] = getattr(owner, name)
        self._before = _own(owner, name)
        functools.update_wrapper(self, self.original, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.around(self.original, *args, **kwargs)

    @property
    def entry(self) -> Callable[..., Any]:
        """What lies on the instance."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self._before is not _ABSENT:
            return copy.deepcopy(self._before, memo)
        owner = memo.get(id(self.owner), self.owner)
        return MethodType(getattr(type(owner), self.name), owner)

    def __reduce__(self) -> Any:
        return getattr, (SimpleNamespace(own=self.clean), "own")

    @property
    def clean(self) -> Any:
        """What stands for the patch in a pickled copy, which needs no fdplug to be loaded."""
        return _Inherited(self.owner, self.name) if self._before is _ABSENT else self._before

    def apply(self) -> None:
        """Put the patch on the instance."""
        self.owner.__dict__[self.name] = self.entry

    @property
    def on_top(self) -> bool:
        """Whether the instance's attribute is this patch, so that it can be undone."""
        held = self.owner.__dict__.get(self.name)
        return held is self or getattr(held, "__self__", None) is self

    @property
    def lost(self) -> bool:
        """Whether the instance is as it was before, as after somebody has put back a copy of its state."""
        return self._before is _ABSENT and _own(self.owner, self.name) is _ABSENT

    def check(self) -> None:
        """Raise `PatchOrderError` if something else lies on top."""
        if not self.on_top:
            raise PatchOrderError(_covered(self))

    def remove(self) -> None:
        """Restore the instance as it was; raise `PatchOrderError` if something else lies on top."""
        self.check()
        if self._before is _ABSENT:
            del self.owner.__dict__[self.name]
        else:
            self.owner.__dict__[self.name] = self._before


class _Inherited:
    """Is pickled as the method that an instance has from its class."""

    def __init__(self, owner: Any, name: str) -> None:
        self._place = owner, name

    def __reduce__(self) -> Any:
        return getattr, self._place


def _own(owner: Any, name: str) -> Any:
    """Return the instance's own attribute; the class's method, which a deep copy of a patch leaves, is none."""
    held = owner.__dict__.get(name, _ABSENT)
    inherited = isinstance(held, MethodType) and held.__self__ is owner
    return _ABSENT if inherited and held.__func__ is getattr(type(owner), name, None) else held


def _covered(patch: Patch) -> str:
    place = f"{type(patch.owner).__name__}.{patch.name}"
    top = patch.owner.__dict__.get(patch.name)
    if top is None:
        return f"cannot undo: the patch of {place} is gone; something else removed it"
    who = __name__ if isinstance(top, Patch) else getattr(getattr(top, "func", top), "__module__", type(top).__module__)
    return f"cannot undo: {place} was replaced again, by {who}; undo that first, then this"


class CallPatch(Patch):
    """A patch of what `module(...)` runs.

    It lies there as a method, because `torch.compile` takes no callable objects, and no graph enters it: a graph that
    holds a decision about one step would be compiled again for the next.
    """

    @property
    def entry(self) -> Callable[..., Any]:
        """What lies on the module."""
        return MethodType(_opaque(), self)

    def __reduce__(self) -> Any:
        return SimpleNamespace, (), {"enter": self.clean}  # a method is pickled as an attribute of what it is bound to

    def __deepcopy__(self, memo: dict[int, Any]) -> CallPatch:
        """Return a patch of the copied module that does nothing: a method of it is what the copy holds."""
        copied = copy.copy(self)
        copied.owner = memo.get(id(self.owner), self.owner)
        copied.original = MethodType(getattr(type(copied.owner), self.name), copied.owner)
        copied.around = _call_through
        return copied


@functools.cache
def _opaque() -> Callable[..., Any]:
    """Return what calls a patch where the compiler does not look; compiled modules below run as such."""
    import torch  # where a module is patched it has been loaded

    def enter(patch: CallPatch, *args: Any, **kwargs: Any) -> Any:
        return patch.around(patch.original, *args, **kwargs)

    return torch.compiler.disable(enter)


def _call_through(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return original(*args, **kwargs)


def call_patches(module: nn.Module, around: Around) -> Iterator[Patch]:
    """Yield the patches that put `around` outside of everything a call of `module` does.

    They stand in for what `module(...)` runs, not for its `forward`: accelerate and diffusers put their offload hooks
    on `forward`, and take them off and on again at the end of every pipeline call. `module.compile()` has a way in of
    its own.
    """
    yield CallPatch(module, "_call_impl", around)
    if module._compiled_call_impl is not None:
        yield CallPatch(module, "_compiled_call_impl", around)


class PatchStack:
    """Patches that are applied together and undone together, all or none."""

    def __init__(self) -> None:
        self.patches: list[Patch] = []

    def apply(self, patches: Iterable[Patch]) -> None:
        """Apply each; if one fails, undo those before it."""
        try:
            for patch in patches:
                patch.apply()
                self.patches.append(patch)
        except BaseException:
            self.remove()
            raise

    @property
    def lost(self) -> bool:
        """Whether one was taken out by somebody else."""
        return any(patch.lost for patch in self.patches)

    def check(self) -> None:
        """Raise `PatchOrderError` if one is covered."""
        for patch in self.patches:
            if not patch.lost:
                patch.check()

    def remove(self) -> None:
        """Undo all, last first; change nothing and raise `PatchOrderError` if one is covered."""
        self.check()
        while self.patches:
            patch = self.patches.pop()
            if patch.lost:
                patch.owner.__dict__.pop(patch.name, None)
            else:
                patch.remove()
