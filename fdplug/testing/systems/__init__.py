"""Tiny pipelines of every supported system: real diffusers classes, random weights, seconds on a CPU.

```python
from fdplug.testing.systems import SYSTEMS

pipe = SYSTEMS["sdxl"].make()
latents = SYSTEMS["sdxl"].run(pipe)
```
"""

from __future__ import annotations

from fdplug.testing.systems import (
    controlnet,
    deepfloyd_if,
    film_transformers,
    flux_variants,
    image_transformers,
    joint_transformers,
    other_unets,
    stable_diffusion,
    stable_diffusion_xl,
    transformers,
    unconditional,
    video,
    video_transformers,
)
from fdplug.testing.systems.system import System

__all__ = ["SYSTEMS", "System"]

_MODULES = (
    stable_diffusion,
    stable_diffusion_xl,
    controlnet,
    deepfloyd_if,
    transformers,
    flux_variants,
    image_transformers,
    joint_transformers,
    unconditional,
    video,
    video_transformers,
    film_transformers,
    other_unets,
)

SYSTEMS: dict[str, System] = {system.name: system for module in _MODULES for system in module.SYSTEMS}
