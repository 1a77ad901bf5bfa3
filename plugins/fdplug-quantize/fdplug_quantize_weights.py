"""Weights in 8 bits: which layers can have them, what they become, and how they are given back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdplug.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class Scheme:
    """A way of computing in 8 bits.

    Attributes:
        config: the name of torchao's configuration.
        multiple: of which both sides of a weight must be a multiple: others have slow products, or none.
        device: says why a device cannot, or None.
    """

    config: str
    multiple: int = 1
    device: Callable[[torch.device], str | None] = lambda device: None


def _float8(device: torch.device) -> str | None:
    """Say why a device cannot hold fp8 weights."""
    import torch

    try:
        torch.ones(2, device=device).to(torch.float8_e4m3fn).float()
    except (RuntimeError, TypeError, NotImplementedError):
        return "it has no fp8 numbers"
    return None


def _float8_products(device: torch.device) -> str | None:
    """Say why a device cannot multiply in fp8."""
    import torch

    if device.type != "cuda":
        return "products in fp8 need a CUDA device of compute capability 8.9 or more (Ada, Hopper and later)"
    if torch.version.hip:
        name = torch.cuda.get_device_properties(device).gcnArchName
        return (
            None if name.startswith(("gfx94", "gfx95")) else f"products in fp8 need an MI300 or later, and it is {name}"
        )
    major, minor = torch.cuda.get_device_capability(device)
    if (major, minor) >= (8, 9):
        return None
    return f"products in fp8 need compute capability 8.9 or more (Ada, Hopper and later), and it has {major}.{minor}"


SCHEMES = {
    "int8-weights": Scheme("Int8WeightOnlyConfig"),
    "int8-dynamic": Scheme("Int8DynamicActivationInt8WeightConfig", multiple=8),
    "fp8-weights": Scheme("Float8WeightOnlyConfig", device=_float8),
    "fp8-dynamic": Scheme("Float8DynamicActivationFloat8WeightConfig", multiple=16, device=_float8_products),
}


@dataclass
class Layer:
    """One linear layer whose weight was exchanged."""

    module: nn.Module
    original: nn.Parameter
    quantized: nn.Parameter

    def exchange(self) -> None:
        """Put the quantized weight in place; the original waits in host memory."""
        self.module._parameters["weight"] = self.quantized
        if self.original.device.type != "cpu":
            self.original.data = self.original.data.to("cpu")

    def restore(self) -> None:
        """Put the original back, where the quantized weight was moved to meanwhile."""
        self.original.data = self.original.data.to(self.quantized.device)
        self.module._parameters["weight"] = self.original


def can_be_quantized(module: nn.Module, name: str, scheme: Scheme) -> bool:
    """Whether this is a linear layer with a plain weight that the scheme can take, and none of an adapter."""
    from torch import nn

    if not isinstance(module, nn.Linear) or isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear):
        return False
    if "lora_" in name or type(module.weight) is not nn.Parameter or not module.weight.is_floating_point():
        return False
    return not any(side % scheme.multiple for side in module.weight.shape)


def quantize(weight: Tensor, scheme: Scheme) -> nn.Parameter:
    """Return a weight (out, in) in 8 bits, a scale for every row."""
    import torchao.quantization as torchao
    from torch import nn

    holder = nn.Linear(1, 1, bias=False, device="meta")  # in whose place torchao notes what it did
    holder.weight = nn.Parameter(weight.detach(), requires_grad=False)
    options: dict[str, Any] = {"set_inductor_config": False}  # which would change the compiler for everybody
    if scheme.config.startswith("Float8Dynamic"):
        rows = torchao.PerRow() if str(weight.dtype) == "torch.bfloat16" else torchao.PerTensor()
        options["granularity"] = rows
    torchao.quantize_(holder, getattr(torchao, scheme.config)(**options), filter_fn=lambda *_: True)
    return holder.weight


def check(weight: Tensor, scheme: str) -> None:
    """Refuse devices that cannot do this.

    Raises:
        ConfigError: why.
    """
    if weight.device.type == "meta":
        raise ConfigError(
            "the denoiser's weights are not loaded (they are offloaded module by module): quantize cannot exchange "
            "them; take enable_model_cpu_offload(), which moves whole networks"
        )
    reason = SCHEMES[scheme].device(weight.device)
    if reason is not None:
        others = ", ".join(one for one, known in SCHEMES.items() if known.device(weight.device) is None)
        raise ConfigError(f"scheme '{scheme}' does not run on {weight.device}: {reason}; take {others}")


def held(weight: Tensor) -> int:
    """Return the bytes of a weight, of a quantized one those of its numbers and scales."""
    inner = getattr(weight, "__tensor_flatten__", None)
    if inner is None:
        return weight.numel() * weight.element_size()
    return sum(held(getattr(weight, name)) for name in inner()[0])


def exchanged(module: nn.Module, scheme: str, known: dict[int, nn.Parameter]) -> Layer:
    """Put a quantized weight into a layer; layers that share a weight share the quantized one.

    Args:
        module: a linear layer.
        scheme: by name.
        known: the quantized weights so far, by the identity of the original.
    """
    original = module.get_parameter("weight")
    if id(original) not in known:
        known[id(original)] = quantize(original, SCHEMES[scheme])
    layer = Layer(module, original, known[id(original)])
    layer.exchange()
    return layer


def weight_error(layers: Sequence[Layer]) -> float:
    """Return the root mean square of what rounding changed, relative to that of the weights."""
    changed = whole = 0.0
    for layer in layers:
        original = layer.original.detach().float()
        changed += float((layer.quantized.dequantize().float().to(original.device) - original).square().sum())
        whole += float(original.square().sum())
    return math.sqrt(changed / whole) if whole else 0.0
