"""Token merging: the authors' numbers, one seed one image, stacking with propagation, and undo."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from fdplug_tome import TokenMerging

from fdplug import propagate
from fdplug.errors import ConfigError, StackError, UnsupportedDenoiserError
from fdplug.testing import check_propagation, check_transform, latents, tiny_pipeline


@pytest.fixture
def pipe():
    return tiny_pipeline()


def with_tome(pipe, **options):
    return propagate(pipe, policy="all", injector="none", transforms=[TokenMerging(**options)])


def test_contract():
    check_transform(TokenMerging())


def test_it_stacks_with_propagation(pipe):
    """The paper's rows DDIM + ToMe + propagation: serial and parallel decoding agree, and both are undone."""
    check_propagation(pipe, transforms=[TokenMerging()])


@pytest.mark.parametrize(
    "options", [{}, {"ratio": 0.25}, {"max_downsample": 4}, {"merge_cross": True, "merge_mlp": True}]
)
def test_the_authors_package_agrees_where_nothing_is_drawn(pipe, options):
    import tomesd

    renamed = {"merge_cross": "merge_crossattn"}
    theirs = {renamed.get(name, name): value for name, value in options.items()}
    plain = latents(pipe)
    tomesd.apply_patch(pipe, **{"ratio": 0.5, "use_rand": False, **theirs})
    expected = latents(pipe)
    tomesd.remove_patch(pipe)
    with with_tome(pipe, random=False, **options):
        assert torch.allclose(latents(pipe), expected, atol=1e-4)
    assert not torch.allclose(plain, expected, atol=1e-2), "the test would see no difference"


def test_the_same_seed_gives_the_same_image_whatever_else_is_drawn(pipe):
    with with_tome(pipe):
        torch.manual_seed(1)
        first = latents(pipe)
        torch.manual_seed(2)
        assert torch.equal(latents(pipe), first)
    with with_tome(pipe, seed=7):
        assert not torch.allclose(latents(pipe), first, atol=1e-3)


def test_it_draws_nothing_from_the_global_generator(pipe):
    with with_tome(pipe):
        before = torch.get_rng_state()
        latents(pipe)
        assert torch.equal(torch.get_rng_state(), before)


def test_guidance_may_be_off(pipe):
    """The package stops drawing where the batch is odd; then one of two images would differ from the same one alone."""
    start = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with with_tome(pipe):
        both = latents(pipe, ["red", "blue"], guidance_scale=1.0, latents=start)
        single = latents(pipe, "red", guidance_scale=1.0, latents=start[:1])
    assert torch.allclose(both[:1], single, atol=1e-4)


@pytest.mark.parametrize("size", [(24, 40), (8, 24)])
def test_sizes_that_do_not_divide(pipe, size):
    height, width = size
    with with_tome(pipe, max_downsample=8):
        assert latents(pipe, height=height, width=width, num_inference_steps=2).isfinite().all()


def test_flops_are_those_of_merged_tokens(pipe):
    arguments = {"height": 64, "width": 64, "num_inference_steps": 1}
    with propagate(pipe, policy="all") as handle:
        latents(pipe, **arguments)
        plain = handle.ledger.gflops()
    with with_tome(pipe) as handle:
        latents(pipe, **arguments)
        merged = handle.ledger.gflops()
    with propagate(pipe, policy="all") as handle:
        latents(pipe, **arguments)
        assert handle.ledger.gflops() == plain
    assert merged != plain


def test_it_says_where_it_would_do_nothing(pipe):
    """SDXL has no attention at the latent's own resolution."""
    pipe.unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    ).eval()
    with pytest.raises(ConfigError, match=r"would do nothing: .* 2 times smaller .* take max_downsample=2"):
        with_tome(pipe)
    with with_tome(pipe, max_downsample=2):
        assert latents(pipe, num_inference_steps=2).isfinite().all()


@pytest.mark.parametrize("options", [{"ratio": 0}, {"ratio": 0.9}, {"window": 1}, {"max_downsample": 0}])
def test_options_that_cannot_be_right(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        TokenMerging(**options)


def test_a_pipeline_without_transformer_blocks():
    class Empty:
        unet = None

    with pytest.raises(UnsupportedDenoiserError, match="Empty has none"):
        TokenMerging().apply(Empty())


def test_once_is_enough(pipe):
    with pytest.raises(StackError, match="transform 'tome' is named twice"):
        propagate(pipe, transforms=[TokenMerging(), TokenMerging(seed=1)])
