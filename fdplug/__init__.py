"""fdplug: training-free acceleration of diffusion models, as plugins.

```python
import fdplug

with fdplug.propagate(pipe):
    image = pipe("a red circle", num_inference_steps=50).images[0]
```
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fdplug.config import PropagationConfig
    from fdplug.errors import FdplugError, FdplugWarning
    from fdplug.hooks import hookimpl
    from fdplug.pipeline import Propagation, propagate
    from fdplug.profiling.ledger import Ledger
    from fdplug.propagation.split import split_decode
    from fdplug.propagation.watching.declared import row_wise

__version__ = "0.2.0"
__all__ = [
    "FdplugError",
    "FdplugWarning",
    "Ledger",
    "Propagation",
    "PropagationConfig",
    "hookimpl",
    "optimize",
    "propagate",
    "row_wise",
    "split_decode",
]

_HOMES = {
    "FdplugError": "errors",
    "FdplugWarning": "errors",
    "Ledger": "profiling.ledger",
    "Propagation": "pipeline",
    "PropagationConfig": "config",
    "hookimpl": "hooks",
    "optimize": "optimization.optimize",
    "propagate": "pipeline",
    "row_wise": "propagation.watching.declared",
    "split_decode": "propagation.split",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: `fdplug plugins` must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fdplug' has no attribute '{name}'")
    return getattr(importlib.import_module(f"fdplug.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
