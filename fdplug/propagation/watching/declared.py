"""What its author declares about a function or a class of which fdplug knows nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import FunctionType
from typing import Any, TypeVar

from fdplug.errors import ConfigError
from fdplug.errors.wording import shown

_MARK = "__fdplug_row_wise__"
Declared = TypeVar("Declared", bound=Callable[..., Any])


def row_wise(declared: Declared) -> Declared:
    """Declare that a hook, or a class of modules or attention processors, treats every row of a batch by itself.

    fdplug cannot know that of what it does not come with, so it decodes such a denoiser step by step, and refuses to
    leave rows of guidance out. What is declared is taken at its word: what mixes rows all the same makes wrong images.

    ```python
    import fdplug

    @fdplug.row_wise
    def look(module, args, output):
        print(output[0].shape)

    pipe.unet.register_forward_hook(look)
    ```

    Args:
        declared: a function, or a class; one derived from it declares itself anew.

    Returns:
        It, marked.

    Raises:
        ConfigError: it is neither, or not written in Python.
    """
    if isinstance(declared, type | FunctionType):
        with suppress(TypeError):  # of a class that is written in C
            setattr(declared, _MARK, declared)
            return declared
    what = f"row_wise declares a function or a class that is written in Python, not {shown(declared)}"
    raise ConfigError(f"{what}: write it above its definition")


def is_declared(thing: Any) -> bool:
    """Whether it is itself declared to be row-wise, not what it is derived from, or what it is wrapped around."""
    return getattr(thing, "__dict__", {}).get(_MARK) is thing
