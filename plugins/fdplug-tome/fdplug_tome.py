"""Token merging for Stable Diffusion (Bolya and Hoffman, arXiv 2303.17604) for fdplug: a transform.

The matching is that of the authors' package `tomesd`. Where that exchanges the class of every transformer block for one
with a copied `forward`, this puts a patch around the layers whose tokens are merged: whatever else a block does is left
to it, and the undo is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import fdplug
from fdplug.checks import number, whole
from fdplug.errors import ConfigError, PropagationError, UnsupportedDenoiserError
from fdplug.patching import Patch, PatchStack, call_patches
from fdplug.transforms import Transform

if TYPE_CHECKING:
    from torch import Tensor, nn

FDPLUG_CONTRACT = "1.0"


class TokenMerging(Transform):
    """Merges similar image tokens before self-attention and parts them again behind it (ToMe).

    Which token of each window the others may merge into is drawn from `seed` for every block, and is the same at every
    step: one seed gives one image, whatever else draws random numbers, and serial and parallel decoding agree.

    Args:
        ratio: share of the tokens that are merged away, at most all but one per window; the authors' 0.5.
        max_downsample: merge in blocks whose feature map is at most this many times smaller than the latent; the
            authors' 1. SDXL has no attention there, take 2.
        window: width and height of the window of which one token stays; the authors' 2.
        random: draw the token that stays; otherwise it is the first.
        seed: seed of the draw.
        merge_cross: also before cross-attention.
        merge_mlp: also before the feed-forward layer.
    """

    name = "tome"

    def __init__(
        self,
        ratio: float = 0.5,
        max_downsample: int = 1,
        window: int = 2,
        random: bool = True,
        seed: int = 0,
        merge_cross: bool = False,
        merge_mlp: bool = False,
    ) -> None:
        self.window = whole("window", window, 2)
        self.ratio = number("ratio", ratio, 0, 1 - 1 / self.window**2)
        if not self.ratio:
            raise ConfigError("ratio 0 merges nothing; give a share of the tokens, such as 0.5")
        self.max_downsample = whole("max_downsample", max_downsample, 1)
        self.random = bool(random)
        self.seed = whole("seed", seed, 0)
        self.layers = ("attn1", *(["attn2"] if merge_cross else []), *(["ff"] if merge_mlp else []))
        self.size = (0, 0)
        self._patches = PatchStack()

    @classmethod
    def space(cls, steps: int) -> dict[str, tuple[object, ...]]:
        """Return what `fdplug optimize` tries (contract 1.1; an older fdplug does not ask)."""
        return {"ratio": (0.5,), "max_downsample": (1, 2)}

    def apply(self, pipe: Any) -> None:
        """Patch the blocks near the latent's resolution.

        Raises:
            UnsupportedDenoiserError: the denoiser is no two-dimensional U-Net with transformer blocks.
            ConfigError: no block is near enough, so that nothing would be merged.
        """
        unet = _unet(pipe)
        self._patches.apply(self._all_patches(unet, self._chosen(unet)))

    def undo(self, pipe: Any) -> None:
        """Take every patch off."""
        self._patches.remove()

    def _chosen(self, unet: nn.Module) -> list[tuple[int, nn.Module]]:
        found = _blocks(unet)
        chosen = [(downsample, block) for downsample, block in found if downsample <= self.max_downsample]
        if not chosen:
            nearest = min(downsample for downsample, _ in found)
            raise ConfigError(
                f"token merging would do nothing: the attention of this {type(unet).__name__} begins on feature maps "
                f"{nearest} times smaller than the latent, and max_downsample is {self.max_downsample}; "
                f"take max_downsample={nearest}"
            )
        return chosen

    def _all_patches(self, unet: nn.Module, chosen: list[tuple[int, nn.Module]]) -> Iterator[Patch]:
        yield from call_patches(unet, self._around_unet)
        for index, (downsample, block) in enumerate(chosen):
            merging = _Merging(self, self.seed + index, downsample)
            yield from call_patches(block, merging.around_block)
            for layer in self.layers:
                yield from call_patches(block.get_submodule(layer), merging.around_layer)

    def _around_unet(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        sample = args[0] if args else kwargs["sample"]
        self.size = tuple(sample.shape[-2:])
        return original(*args, **kwargs)


class _Merging:
    """What one transformer block merges: tokens that are similar in what the block is given."""

    def __init__(self, settings: TokenMerging, seed: int, downsample: int) -> None:
        self._settings = settings
        self._seed = seed
        self._downsample = downsample
        self._tokens: Tensor | None = None
        self._pair: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None = None

    def around_block(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Remember the block's tokens, (B, N, C), while it runs."""
        self._tokens = args[0] if args else kwargs["hidden_states"]
        try:
            return original(*args, **kwargs)
        finally:
            self._tokens = self._pair = None

    def around_layer(self, original: Callable[..., Any], tokens: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Merge what a layer is given and part what it returns; masked tokens are left alone."""
        if self._tokens is None or kwargs.get("attention_mask") is not None:
            return original(tokens, *args, **kwargs)
        merge, part = self._pair = self._pair or self._match(self._tokens)
        return part(original(merge(tokens), *args, **kwargs))

    def _match(self, tokens: Tensor) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        import torch
        from tomesd.merge import bipartite_soft_matching_random2d, do_nothing

        settings, count = self._settings, tokens.shape[1]
        height, width = (-(-size // self._downsample) for size in settings.size)
        if height * width != count:
            raise PropagationError(f"token merging expected {height} x {width} tokens and found {count}")
        if min(height, width) < settings.window:
            return do_nothing, do_nothing
        return bipartite_soft_matching_random2d(
            tokens,
            width,
            height,
            settings.window,
            settings.window,
            int(count * settings.ratio),
            no_rand=not settings.random,
            generator=torch.Generator().manual_seed(self._seed),
        )


def _unet(pipe: Any) -> Any:
    from diffusers import UNet2DConditionModel

    unet = getattr(pipe, "unet", None)
    if not isinstance(unet, UNet2DConditionModel) or not _blocks(unet):
        what = type(pipe).__name__ if unet is None else type(unet).__name__
        raise UnsupportedDenoiserError(
            f"token merging needs a UNet2DConditionModel with transformer blocks; {what} has none"
        )
    return unet


def _blocks(unet: Any) -> list[tuple[int, nn.Module]]:
    """Return every transformer block with how many times smaller than the latent its feature map is."""
    from diffusers.models.attention import BasicTransformerBlock

    found, downsample = [], 1
    for stage in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        if stage is None:
            continue
        found += [(downsample, module) for module in stage.modules() if isinstance(module, BasicTransformerBlock)]
        downsample *= 2 if getattr(stage, "downsamplers", None) else 1
        downsample //= 2 if getattr(stage, "upsamplers", None) else 1
    return found


@fdplug.hookimpl
def fdplug_transforms() -> Iterator[type[Transform]]:
    """Yield the transform."""
    yield TokenMerging
