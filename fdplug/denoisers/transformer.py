"""What all transformers have in common: a stack of equal blocks, of which the leading ones are the encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fdplug.checks import whole
from fdplug.denoisers.base import Companion, Part, trunk
from fdplug.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

# Of DiT-XL/2's 28 blocks the paper takes the first 18 for the encoder (section 3.1, appendix A.3).
LEADING, DEPTH = 18, 28


CONTROL = (
    "encoder_hidden_states",
    "pooled_projections",
    "guidance",
    "controlnet_cond",
    "controlnet_mode",
    "conditioning_scale",
    "joint_attention_kwargs",
)


def transformer_parts(
    transformer: nn.Module,
    stacks: tuple[str, ...],
    *,
    stem: tuple[str, ...] = ("pos_embed",),
    blocks: int | None = None,
    companions: tuple[Companion, ...] = (),
) -> Iterator[Part]:
    """Yield the encoder of a transformer, the modules before the blocks and the leading blocks, and the trunk.

    Only what the last module of a part hands on is kept. The modules before the blocks feed nothing else, so that the
    sample is not needed at a replayed step.

    Args:
        transformer: the denoiser.
        stacks: its lists of blocks, in the order in which they run.
        stem: modules between the sample and the first block.
        blocks: how many blocks lead; None: the paper's 18 of 28, rounded down to this depth.
        companions: networks that are replayed along with the blocks.
    """
    names = [f"{stack}.{index}" for stack in stacks for index, _ in enumerate(getattr(transformer, stack))]
    count = _count(len(names), blocks)
    leading = (*stem, *names[:count])
    yield Part(
        name="encoder",
        modules=leading,
        sample_free=True,
        chained=frozenset(leading[:-1]),
        companions=companions,
    )
    yield trunk((*stem, *names), companions, tuple(names))


def _count(depth: int, blocks: int | None) -> int:
    if blocks is None:
        return max(1, depth * LEADING // DEPTH)
    if whole("blocks", blocks, 1) >= depth:
        raise ConfigError(f"blocks must be less than this transformer's depth of {depth}, got {blocks}")
    return blocks
