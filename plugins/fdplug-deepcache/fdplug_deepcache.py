"""DeepCache (Ma et al., arXiv 2312.00858) for fdplug: a part and a policy.

The skip connections of a U-Net are numbered from the outside: 0 is that of `conv_in`, 1 that of the first down layer,
and so on. At a key step everything is computed; at the others only what lies outside of skip connection `branch`, which
enters the decoder together with the kept features of all that lies deeper.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import fdplug
from fdplug.checks import number, whole
from fdplug.errors import ConfigError, PropagationError
from fdplug.parts import Part, PartRule
from fdplug.policies import KeyStepPolicy, Schedule

if TYPE_CHECKING:
    from torch import nn

    from fdplug.denoisers import DenoiserFamily

FDPLUG_CONTRACT = "1.0"
SHRINK = 0.02  # by how much the power gives way where rounding makes steps fall together, as in the authors' code


class DeepCache(PartRule):
    """Everything deeper than one skip connection of a U-Net (DeepCache); fast with `uniform` key steps.

    Args:
        branch: number of the skip connection, 0 the outermost. 0 replays the most. On Stable Diffusion it is the
            `cache_branch_id` of the authors' package.
    """

    name = "deepcache"

    def __init__(self, branch: int = 0) -> None:
        self.branch = whole("branch", branch, 0)

    @classmethod
    def space(cls, steps: int) -> dict[str, tuple[int, ...]]:
        """Return what `fdplug optimize` tries (contract 1.1; an older fdplug does not ask)."""
        return {"branch": (0, 1, 2)}

    def part(self, family: DenoiserFamily, denoiser: nn.Module) -> Part:
        """Return the deeper down layers, the middle block, and the up layers before the branch enters."""
        if not all(hasattr(denoiser, name) for name in ("down_blocks", "mid_block", "up_blocks")):
            raise PropagationError(
                f"DeepCache needs a U-Net of down_blocks, mid_block and up_blocks; {type(denoiser).__name__} is none"
            )
        down, up = _layers(denoiser, "down_blocks"), _layers(denoiser, "up_blocks")
        if self.branch >= len(up):
            raise ConfigError(f"branch must be at most {len(up) - 1} on this U-Net, got {self.branch}")
        deep_down, deep_up = down[self.branch :], up[: len(up) - self.branch - 1]
        modules = (*_names(deep_down), "mid_block", *_names(deep_up))
        return Part(name=self.name, modules=modules, sample_free=False, chained=frozenset(modules[:-1]))


Layer = tuple[str, int, tuple[str, ...]]


def _layers(unet: nn.Module, stack: str) -> list[Layer]:
    """Return (block, layers of the block, modules) for every layer that makes or takes a skip connection, in order."""
    return [layer for index, _ in enumerate(getattr(unet, stack)) for layer in _block(unet, f"{stack}.{index}")]


def _block(unet: nn.Module, name: str) -> Iterator[Layer]:
    """Yield the layers of one block: a resnet with what goes along with it; a downsampler is a layer, too."""
    from torch.nn import ModuleList

    block = unet.get_submodule(name)
    lists = {key: len(child) for key, child in block.named_children() if isinstance(child, ModuleList)}
    depth = lists["resnets"]
    beside = [key for key, length in lists.items() if length == depth and key not in ("downsamplers", "upsamplers")]
    layers = [_in_order(name, beside, index) for index in range(depth)]
    if lists.get("downsamplers"):
        layers.append((f"{name}.downsamplers.0",))
    for modules in layers:
        yield name, len(layers), modules


def _in_order(name: str, beside: list[str], index: int) -> tuple[str, ...]:
    """Name the modules of one layer in the order in which they run: the resnet first."""
    order = sorted(beside, key=lambda key: (key != "resnets", key == "motion_modules"))
    return tuple(f"{name}.{key}.{index}" for key in order)


def _names(layers: list[Layer]) -> tuple[str, ...]:
    """Name the modules of `layers`; a block all of whose layers are among them goes as a whole."""
    counts = Counter(block for block, _, _ in layers)
    named = [(block,) if counts[block] == size else modules for block, size, modules in layers]
    return tuple(dict.fromkeys(name for names in named for name in names))


MOST_POWER = 100.0


class NonUniform(KeyStepPolicy):
    """Key steps that lie dense around one step and thin out on both sides (DeepCache, non-uniform 1:N inference).

    With the center c and the power p, numbers l are spread evenly over [(-c)^(1/p), (T - c)^(1/p)], signs kept, and the
    key steps are the whole numbers l^p + c.

    Args:
        count: number of key steps.
        center: step around which they are dense, on the scale of a run of 50 steps.
        power: how quickly they thin out; 1 is uniform. It gives way a little where two steps would fall together.
    """

    name = "deepcache-non-uniform"

    def __init__(self, count: int = 10, center: float = 15, power: float = 1.2) -> None:
        self.count = whole("count", count, 1)
        self.center = number("center", center, 0, 50)
        self.power = number("power", power, 1, MOST_POWER)

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the steps, the first that is run among them."""
        length = schedule.end - schedule.start
        power = self.power
        steps = _spread(length, self.count, self.center * length / 50, power)
        while len(steps) < min(self.count, length) and power > 1:
            power = max(1.0, power - SHRINK)
            steps = _spread(length, self.count, self.center * length / 50, power)
        return frozenset(schedule.start + step for step in steps)


def _spread(length: int, count: int, center: float, power: float) -> set[int]:
    first, last = _signed(-center, 1 / power), _signed(length - center, 1 / power)
    points = [first + (last - first) * index / count for index in range(count)]
    return {0, *(max(0, min(length - 1, int(_signed(point, power) + center + 1e-9))) for point in points)}


def _signed(value: float, power: float) -> float:
    return abs(value) ** power * (1 if value >= 0 else -1)


@fdplug.hookimpl
def fdplug_parts() -> Iterator[type[PartRule]]:
    """Yield the part."""
    yield DeepCache


@fdplug.hookimpl
def fdplug_key_step_policies() -> Iterator[type[KeyStepPolicy]]:
    """Yield the policy."""
    yield NonUniform
