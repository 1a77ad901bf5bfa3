"""`fdplug complexity`: published tables of Stable Diffusion, fvcore on real tensors, and the printed forms."""

from __future__ import annotations

import json

import pytest
import torch

from docs.building.counted_figures import without_layers
from docs.building.results_file import results
from fdplug import trees
from fdplug.commands import complexity as command
from fdplug.complexity.inputs import example
from fdplug.complexity.layers import complexity
from fdplug.complexity.models import load_denoiser, public_configs
from fdplug.errors import ConfigError, PipelineError, UnsupportedDenoiserError
from fdplug.profiling.flops import module_flops
from fdplug.profiling.meta_flops import meta_flops
from fdplug.testing.systems import SYSTEMS

SYSTEMS_COUNTED = (
    "sd",
    "dit",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("sdxl", "if-2", "ddpm", "pixart", "sd3", "flux")),
)


def counted(name, rows):
    """A public configuration, counted without allocating anything."""
    assert name in public_configs()
    network = load_denoiser(name)
    assert all(one.device.type == "meta" for one in [*network.parameters(), *network.buffers()])
    return complexity(network, example(network, rows))


@pytest.fixture(scope="module")
def stable_diffusion():
    return counted("stable-diffusion-v1-5", 2)


@pytest.fixture(scope="module")
def dit():
    return counted("dit-xl-2-256", 1)


def test_the_layers_of_stable_diffusion_are_those_of_table_7(stable_diffusion):
    """Arxiv 2312.09608v2, Table 7: numbers 0 to 43, block by block, with the width and height of what they hand on."""
    published = [
        *[("E64", 320, 64)] * 4, ("E64", 320, 32),
        *[("E32", 640, 32)] * 4, ("E32", 640, 16),
        *[("E16", 1280, 16)] * 4, ("E16", 1280, 8),
        *[("E8", 1280, 8)] * 2,
        *[("B8", 1280, 8)] * 3,
        *[("D8", 1280, 8)] * 3, ("D8", 1280, 16),
        *[("D16", 1280, 16)] * 6, ("D16", 1280, 32),
        *[("D32", 640, 32)] * 6, ("D32", 640, 64),
        *[("D64", 320, 64)] * 6,
    ]  # fmt: skip
    found = [(layer.block, layer.shape[0], layer.shape[1]) for layer in stable_diffusion.layers]
    assert found == published
    assert [layer.number for layer in stable_diffusion.layers] == list(range(44))
    kinds = [layer.name.split(".")[-2] for layer in stable_diffusion.layers]
    assert kinds[:5] == ["resnets", "attentions", "resnets", "attentions", "downsamplers"]
    assert kinds[17:20] == ["resnets", "attentions", "resnets"]
    assert kinds[36:] == ["attentions", "upsamplers", *["resnets", "attentions"] * 3]


def test_the_parts_of_stable_diffusion_are_those_of_table_10(stable_diffusion):
    """Table 10 counts a guided step, two rows; its bottleneck, 6.04, is that of one row."""
    shares = {share.part: share for share in stable_diffusion.shares}
    assert shares["encoder"].parameters == pytest.approx(0.25e9, rel=0.01)
    assert shares["bottleneck"].parameters == pytest.approx(0.097e9, rel=0.01)
    assert shares["decoder"].parameters == pytest.approx(0.51e9, rel=0.01)
    assert stable_diffusion.parameters == 859_520_964
    paper = {name: share.gflops["paper"] for name, share in shares.items()}
    assert paper["encoder"] == pytest.approx(224.2, rel=1e-3)
    assert paper["bottleneck"] / 2 == pytest.approx(6.04, rel=1e-3)
    assert paper["decoder"] == pytest.approx(504.4, rel=1e-3)


def test_the_step_is_that_of_table_1(stable_diffusion):
    """37050 GFLOPs for 50 steps; (37050 - 27350) / 41 saved by each replayed step."""
    assert stable_diffusion.gflops("paper") == pytest.approx(37050 / 50, rel=1e-3)
    assert stable_diffusion.replayed["paper"] == pytest.approx((37050 - 27350) / 41, rel=1e-3)
    assert stable_diffusion.gflops() == pytest.approx(2 * 402.04, rel=1e-3)


def test_the_figures_of_the_documentation_are_what_is_counted(stable_diffusion):
    recorded, counted = results("complexity"), without_layers(stable_diffusion.as_dict())
    for one, other in zip(recorded.pop("shares"), counted.pop("shares"), strict=True):
        assert (one["part"], one["parameters"]) == (other["part"], other["parameters"])
        assert one["gflops"] == pytest.approx(other["gflops"])
    assert recorded["gflops"] == pytest.approx(counted["gflops"])
    assert recorded["replayed"] == pytest.approx(counted["replayed"])


def test_dit_costs_what_its_authors_say(dit):
    """Peebles and Xie, 2023, Table 4: DiT-XL/2 at 256 pixels has 118.64 GFLOPs a row; 18 of 28 blocks are encoder."""
    assert dit.gflops() == pytest.approx(118.64, rel=2e-3)
    assert [layer.block for layer in dit.layers] == [f"{'E' if n < 18 else 'D'}{n}" for n in range(28)]
    assert dit.replayed["full"] / dit.gflops() == pytest.approx(18 / 28, abs=2e-3)
    assert [share.part for share in dit.shares] == ["encoder", "decoder", "rest"]


@pytest.mark.parametrize("name", SYSTEMS_COUNTED)
def test_every_module_costs_what_fvcore_counts_with_real_tensors(name):
    pipe = SYSTEMS[name].make()
    network = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    meta = load_denoiser_like(network)
    arguments = example(meta, 2, 8)
    generator = torch.Generator().manual_seed(0)

    def filled(outline):
        if outline.dtype == torch.long:
            return torch.zeros(outline.shape, dtype=torch.long)
        return torch.rand(outline.shape, generator=generator)

    real = trees.map_tensors(filled, arguments)
    for convention in ("full", "paper"):
        truth, found = module_flops(network, real, convention), meta_flops(meta, arguments, convention)
        assert truth[""] > 0
        for block in (name for name in truth if name.count(".") < 2):
            assert found[block] == pytest.approx(truth[block], rel=5e-3), block
    assert complexity(meta, arguments).gflops() == pytest.approx(module_flops(network, real)[""] / 1e9, rel=5e-3)


def load_denoiser_like(network):
    with torch.device("meta"):
        return type(network).from_config(network.config).to("meta").eval()


def test_layers_fill_their_blocks(stable_diffusion):
    decoder = next(share for share in stable_diffusion.shares if share.part == "decoder")
    layers = [layer for layer in stable_diffusion.layers if layer.block.startswith("D")]
    assert sum(layer.parameters for layer in layers) == decoder.parameters
    assert sum(layer.gflops["full"] for layer in layers) == pytest.approx(decoder.gflops["full"])


def test_a_folder_is_read_without_its_weights(tmp_path, capsys):
    pipe = SYSTEMS["sd"].make()
    (tmp_path / "unet").mkdir()
    pipe.unet.save_config(tmp_path / "unet")
    assert command.main(["--model", str(tmp_path), "--json"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert held["parameters"] == sum(one.numel() for one in pipe.unet.parameters())
    assert command.main(["--model", str(tmp_path / "unet" / "config.json"), "--rows", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gflops"]["full"] == pytest.approx(2 * held["gflops"]["full"])


def test_markdown_and_text_hold_the_same_rows(stable_diffusion, capsys):
    page = command.markdown(stable_diffusion)
    assert "| encoder | down_blocks.0 to down_blocks.3 | 250 M | 29.0% | 249.5 | 31.0% | 224.3 |" in page
    assert "| 43 | D64 | up_blocks.3.attentions.2 | Transformer2DModel | 320 x 64 x 64 |" in page
    assert command.main(["--model", "shapes", "--rows", "1"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "UNet2DConditionModel, sample 1 x 4 x" in text
    assert "up_blocks" in text
    assert command.main(["--model", "shapes", "--no-layers", "--markdown"]) == 0
    assert "attentions" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        ("{", "not valid json"),
        ("[]", "it is \\[\\], an object is needed"),
        ('{"_class_name": "Nothing"}', "'Nothing' is no model of diffusers"),
        ('{"_class_name": "UNet2DConditionModel", "down_block_types": ["X"]}', "cannot be built"),
    ],
)
def test_a_wrong_configuration_is_one_line(tmp_path, content, message):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PipelineError, match=message):
        command.main(["--model", str(path)])


def test_what_cannot_be_counted_is_refused(tmp_path):
    with pytest.raises(PipelineError, match="has no unet, transformer, prior folder"):
        command.main(["--model", str(tmp_path)])
    with pytest.raises(PipelineError, match="no configuration 'nobody/nothing'"):
        command.main(["--model", "nobody/nothing"])
    with pytest.raises(ConfigError, match="rows must be a whole number of at least 1, got 0"):
        command.main(["--rows", "0"])
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    with pytest.raises(ConfigError, match="cannot tell the inputs of AutoencoderKL"):
        command.main(["--model", str(tmp_path)])
    with pytest.raises(UnsupportedDenoiserError, match="cannot accelerate denoiser AutoencoderKL"):
        complexity(load_denoiser(str(tmp_path)), {})
