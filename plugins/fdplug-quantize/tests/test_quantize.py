"""Quantization: what is exchanged, by how much it changes weights and images, stacking, and undo to the very object."""

from __future__ import annotations

import pytest
import torch
from fdplug_quantize import Quantize
from torch import nn

from fdplug import propagate
from fdplug.errors import ConfigError
from fdplug.testing import check_propagation, check_transform, latents, tiny_pipeline
from fdplug.testing.systems import SYSTEMS

SCHEMES = ("int8-weights", "int8-dynamic", "fp8-weights")  # the fourth wants a GPU


@pytest.fixture
def pipe():
    return tiny_pipeline()


def with_quantized(pipe, *args, **options):
    return propagate(pipe, policy="all", injector="none", transforms=[Quantize(*args, **options)])


def linears(network):
    return {name: one for name, one in network.named_modules() if isinstance(one, nn.Linear)}


def quantized(network):
    return {name for name, one in linears(network).items() if type(one.weight) is not nn.Parameter}


def distance(one, other):
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_contract(scheme):
    check_transform(Quantize(scheme))


@pytest.mark.parametrize("scheme", SCHEMES[:2])
def test_it_stacks_with_propagation(pipe, scheme):
    """Scales are those of a token, so that rows do not see each other: serial and parallel decoding agree."""
    check_propagation(pipe, transforms=[Quantize(scheme)])


@pytest.mark.parametrize(
    ("scheme", "tolerance"), [("int8-weights", 0.02), ("int8-dynamic", 0.03), ("fp8-weights", 0.1)]
)
def test_images_change_a_little(pipe, scheme, tolerance):
    plain = latents(pipe)
    with with_quantized(pipe, scheme):
        assert 0 < distance(latents(pipe), plain) < tolerance


def test_weights_are_those_of_rounding_to_a_scale_per_row():
    """The plain reference: w = s round(w / s) with s = max |row| / 127."""
    pipe = tiny_pipeline()
    expected = {}
    for name, one in linears(pipe.unet).items():
        scale = one.weight.detach().abs().amax(1, keepdim=True) / 127.5
        expected[name] = (scale * (one.weight.detach() / scale).round().clamp(-128, 127), scale)
    with with_quantized(pipe):
        for name, one in linears(pipe.unet).items():
            weight, scale = expected[name]
            assert bool(((one.weight.dequantize() - weight).abs() <= 1.01 * scale).all()), name
            assert one.weight.numel() == sum(row.numel() for row in one.weight.dequantize())


def test_dynamic_rounds_what_enters_too():
    """The product is that of rounded tokens and rounded weights, worked out in float64."""
    pipe = tiny_pipeline()
    name, layer = next((name, one) for name, one in linears(pipe.unet).items() if "attn1.to_q" in name)
    given = torch.randn(2, 5, layer.in_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), with_quantized(pipe, "int8-dynamic", parts=[name]):
        got, weight = layer(given), layer.weight.dequantize().double()
    scale = given.abs().amax(-1, keepdim=True).double() / 127.5
    rounded = scale * (given.double() / scale).round().clamp(-128, 127)
    expected = rounded @ weight.T + (0 if layer.bias is None else layer.bias.double())
    assert distance(got.double(), expected) < 2e-3
    assert distance(got.double(), given.double() @ weight.T) > distance(got.double(), expected)


def test_undo_gives_the_very_weights_back(pipe):
    before = {name: (one.weight, one.weight.detach().clone()) for name, one in linears(pipe.unet).items()}
    with with_quantized(pipe, "int8-dynamic"):
        assert quantized(pipe.unet) == set(before)
        latents(pipe)
    for name, one in linears(pipe.unet).items():
        assert one.weight is before[name][0]
        assert torch.equal(one.weight, before[name][1])


def test_nothing_is_left_where_it_fails_halfway(pipe, monkeypatch):
    import fdplug_quantize_weights

    real, calls = fdplug_quantize_weights.quantize, []

    def failing(weight, scheme):
        calls.append(weight)
        if len(calls) == 3:
            raise RuntimeError("no memory")
        return real(weight, scheme)

    monkeypatch.setattr(fdplug_quantize_weights, "quantize", failing)
    with pytest.raises(RuntimeError, match="no memory"):
        with_quantized(pipe)
    assert not quantized(pipe.unet)


def test_parts(pipe):
    """Encoder and decoder are all, and share nothing; the encoder is the family's part of that name."""
    chosen = {}
    for part in ("all", "encoder", "decoder"):
        with with_quantized(pipe, parts=part):
            chosen[part] = quantized(pipe.unet)
    assert chosen["all"] == set(linears(pipe.unet))
    assert chosen["encoder"] | chosen["decoder"] == chosen["all"]
    assert not chosen["encoder"] & chosen["decoder"]
    assert {name.partition(".")[0] for name in chosen["encoder"]} <= {"down_blocks", "mid_block"}


def test_patterns_name_modules_and_what_is_inside(pipe):
    with with_quantized(pipe, parts=["up_blocks.*", "mid_block"], skip="*.attn2"):
        chosen = quantized(pipe.unet)
    assert {name.partition(".")[0] for name in chosen} == {"up_blocks", "mid_block"}
    assert chosen
    assert not any(".attn2." in name for name in chosen)


def test_adapters_stay_as_they_are(pipe):
    from peft import LoraConfig

    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"]))
    with with_quantized(pipe):
        names = quantized(pipe.unet)
        assert any(name.endswith("to_q.base_layer") for name in names)
        assert not any("lora_" in name for name in names)
        assert latents(pipe).isfinite().all()


def test_layers_that_share_a_weight_go_on_sharing_it(pipe):
    first, second = [one for name, one in linears(pipe.unet).items() if name.endswith("attn1.to_q")][:2]
    if first.weight.shape != second.weight.shape:
        second.weight = nn.Parameter(first.weight.detach().clone())
    second.weight = first.weight
    transform = Quantize(parts="*.attn1.to_q")
    transform.apply(pipe)
    assert first.weight is second.weight
    transform.undo(pipe)
    assert first.weight is second.weight


def test_the_report_states_memory_and_error(pipe, caplog):
    transform, network = Quantize(), pipe.unet
    before = sum(4 * one.weight.numel() for one in linears(network).values())
    after = sum(one.weight.numel() + 5 * len(one.weight) for one in linears(network).values())  # scale, zero point
    with caplog.at_level("INFO", "fdplug_quantize"), propagate(pipe, transforms=[transform]):
        assert (
            f"{len(linears(network))} linear layers {before / 1e3:.3g} kB -> {after / 1e3:.3g} kB" in transform.report
        )
        assert "rounding changed these weights by 0." in transform.report
    assert transform.report in caplog.text


@pytest.mark.parametrize("scheme", SCHEMES)
def test_gflops_are_as_many_as_without(pipe, scheme):
    with propagate(pipe, policy="all") as on:
        latents(pipe)
        expected = on.ledger.gflops()
    with with_quantized(pipe, scheme) as on:
        latents(pipe)
        assert on.ledger.gflops() == pytest.approx(expected, rel=0.01)


@pytest.mark.slow  # the compiler
def test_it_stacks_with_compilation_and_propagation(pipe):
    """Blocks are compiled with the quantized weights inside, in whatever order the two are named."""
    torch._dynamo.reset()
    policy = {"uniform": {"interval": 2}}
    with propagate(pipe, policy=policy, transforms=[Quantize()]):
        expected = latents(pipe, num_inference_steps=4)
    compiled = {"compile": {"backend": "eager"}}  # captured, and run as it is
    for transforms in ([Quantize(), compiled], [compiled, Quantize()]):
        with propagate(pipe, policy=policy, transforms=transforms):
            assert distance(latents(pipe, num_inference_steps=4), expected) < 0.01
    assert not quantized(pipe.unet)
    torch._dynamo.reset()


@pytest.mark.parametrize(("name", "scheme"), [("sd3", "int8-dynamic"), ("pixart", "int8-weights")])
def test_transformers(name, scheme):
    system = SYSTEMS[name]
    pipe = system.make()
    plain = system.run(pipe)
    with propagate(pipe, policy="all", injector="none", transforms=[Quantize(scheme)]):
        assert 0 < distance(system.run(pipe), plain) < 0.1
    assert torch.equal(system.run(pipe), plain)


def test_what_cannot_be_right(pipe):
    with pytest.raises(ConfigError, match=r"scheme must be one of int8-weights, .*; got 'int4'"):
        Quantize("int4")
    with pytest.raises(ConfigError, match="parts must be a word or a list of patterns"):
        Quantize(parts=3)
    with pytest.raises(ConfigError, match="parts names nothing"):
        Quantize(parts=[])
    with pytest.raises(
        ConfigError, match=r"names none of the \d+ linear layers of UNet2DConditionModel; they are in .*time"
    ):
        with_quantized(pipe, parts="blocks.*")
    with with_quantized(pipe), pytest.raises(ConfigError, match="no linear layer that int8-weights could quantize"):
        Quantize().apply(pipe)
    with pytest.raises(ConfigError, match=r"int8-dynamic could quantize \(both sides multiples of 8\), or all"):
        with_quantized(SYSTEMS["pixart"].make(), "int8-dynamic")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU may multiply in fp8")
def test_fp8_products_are_refused_where_the_device_has_none(pipe):
    with pytest.raises(
        ConfigError, match=r"'fp8-dynamic' does not run on cpu: .* 8\.9 .*; take int8-weights, int8-dynamic"
    ):
        with_quantized(pipe, "fp8-dynamic", parts="decoder")
    assert not quantized(pipe.unet)


def test_weights_that_are_not_loaded_are_refused(pipe):
    pipe.unet.to("meta")
    with pytest.raises(ConfigError, match=r"weights are not loaded .* take enable_model_cpu_offload\(\)"):
        Quantize().apply(pipe)
