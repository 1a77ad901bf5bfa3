"""`fdplug inspect`: families, parts and shares from configurations alone, and proposals for classes of nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import diffusers
import pytest
import torch

from fdplug import hookimpl, plugins, registry
from fdplug.cli import main
from fdplug.commands import inspect as command
from fdplug.complexity.inspection import inspect_model
from fdplug.complexity.models import load_denoiser
from fdplug.complexity.proposal import propose
from fdplug.complexity.transformer_inputs import BUILDERS
from fdplug.denoisers.transformer_table import ROWS
from fdplug.errors import ConfigError, PipelineError, PropagationError, UnsupportedDenoiserError
from fdplug.lookup import find_family
from fdplug.parts import PartRule
from fdplug.profiling.flops import module_flops
from fdplug.testing.systems import SYSTEMS

# Where a row says more than the code of its class shows at first sight: what is in the row alone.
BESIDE = {
    "HunyuanImageTransformer2DModel": {"context_embedder_2"},
    "WanVACETransformer3DModel": {"vace_patch_embedding", "vace_blocks"},  # they run before the first block, beside it
}
UNBUILT = {
    "HiDreamImageTransformer2DModel",
    "HunyuanDiT2DModel",
    "LatteTransformer3DModel",
    "EasyAnimateTransformer3DModel",
}
QUICK = {"ZImageTransformer2DModel", "PRXTransformer2DModel", "CogView4Transformer2DModel"}
MODELS = [row.model if row.model in QUICK else pytest.param(row.model, marks=pytest.mark.slow) for row in ROWS]


def run(capsys, *words):
    sys.argv[1:] = words
    code = main()
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def folder(tmp_path):
    """A saved pipeline of which nothing but configurations is left."""
    SYSTEMS["sd3"].make().save_pretrained(tmp_path)
    for file in tmp_path.rglob("*.safetensors"):
        file.unlink()
    return tmp_path


def test_a_folder_without_weights_is_enough(folder):
    """Shares of GFLOPs are those that fvcore counts on the pipeline itself."""
    found = inspect_model(str(folder))
    assert (found.pipeline, found.component, found.denoiser) == (
        "StableDiffusion3Pipeline",
        "transformer",
        "SD3Transformer2DModel",
    )
    assert found.family == "sd3-transformer-2d"
    assert not found.one_by_one
    pipe = SYSTEMS["sd3"].make()
    network, config = pipe.transformer, pipe.transformer.config
    given = {
        "hidden_states": torch.ones(1, config.in_channels, 8, 8),
        "encoder_hidden_states": torch.ones(1, 154, config.joint_attention_dim),
        "pooled_projections": torch.ones(1, config.pooled_projection_dim),
        "timestep": torch.ones(1),
    }
    counted = module_flops(network, given)
    assert found.gflops == pytest.approx(counted[""] / 1e9, rel=0.01)
    for part, known in zip(found.parts, find_family(pipe)[0].parts(network), strict=True):
        assert part.modules == len(known.modules)
        assert part.gflops == pytest.approx(sum(counted[name] for name in known.modules) / counted[""], rel=0.01)
    encoder, trunk = found.parts
    assert encoder.gflops < 0.7 < 0.9 < trunk.gflops
    assert trunk.kept == encoder.kept == 1


def test_the_command_says_it_in_words_markdown_and_json(folder, capsys):
    code, said, _ = run(capsys, "inspect", str(folder))
    assert code == 0
    assert "denoiser   SD3Transformer2DModel, transformer of StableDiffusion3Pipeline" in said
    assert "part=trunk" in said
    _, table, _ = run(capsys, "inspect", str(folder), "--markdown")
    assert table.splitlines()[0] == "| part | modules | features kept | spans | parameters | GFLOPs |"
    _, text, _ = run(capsys, "inspect", str(folder), "--json")
    known = json.loads(text)
    assert [part["name"] for part in known["parts"]] == ["encoder", "trunk"]
    assert known["rules"] == {}


def test_what_cannot_be_counted_is_said_and_parameters_stand_in(tmp_path):
    SYSTEMS["hidream"].make().transformer.save_config(tmp_path)
    found = inspect_model(str(tmp_path))
    assert found.family == "hidream-image-transformer-2d"
    assert found.gflops is None
    assert "cannot tell the inputs of HiDreamImageTransformer2DModel" in found.uncounted
    assert all(part.gflops is None and 0 < part.parameters < 1 for part in found.parts)


@pytest.mark.parametrize("model", MODELS)
def test_a_proposal_is_what_the_table_says(model):
    """The table's rows were written by hand, beside the code; the code alone gives the same blocks and stem."""
    if model in UNBUILT:
        pytest.skip("the class has no defaults to build it from")
    (row,) = [row for row in ROWS if row.model == model]
    made = propose(load_denoiser(model))
    assert made.stacks == row.stacks
    assert set(row.stem) - set(made.stem) == BESIDE.get(model, set())
    assert set(made.stem) <= set(row.stem)
    assert (made.sample, made.timestep, made.alternating) == (row.sample, row.timestep, row.alternating)
    assert set(made.aside) <= {*row.aside, *row.stem}
    assert {name for name in row.conditioning if not name.endswith(("_shapes", "_ids", "_sizes"))} <= {
        *made.conditioning
    }


def test_a_class_of_nobody_gets_a_row(capsys):
    code, said, _ = run(capsys, "inspect", "OvisImageTransformer2DModel")
    assert code == 0
    assert 'stacks=("transformer_blocks", "single_transformer_blocks"),' in said
    assert 'stem=("x_embedder", "context_embedder_norm", "context_embedder"),' in said


class First(PartRule):
    """The first module of the default part, of U-Nets alone."""

    name = "first"

    def part(self, family, denoiser):
        if family.component != "unet":
            raise PropagationError("there is no U-Net")
        return replace(family.part(denoiser, "encoder"), name="first", modules=("conv_in",))


def test_parts_of_plugins_are_tried(monkeypatch, folder):
    manager = plugins.new_plugin_manager()
    manager.add(SimpleNamespace(fdplug_parts=hookimpl(lambda: [First])), "first", "a test")
    monkeypatch.setattr(registry, "get_plugin_manager", lambda: manager)
    assert inspect_model("shapes").rules["first"] == ""
    assert inspect_model(str(folder)).rules["first"] == "there is no U-Net"


def test_what_goes_through_no_blocks_is_refused():
    with pytest.raises(UnsupportedDenoiserError, match="goes through no list of blocks"):
        propose(diffusers.AutoencoderTiny())


def test_a_name_that_is_nothing_is_refused(capsys):
    code, _, said = run(capsys, "inspect", "NoSuchTransformer.json")
    assert code == 2
    assert "NoSuchTransformer.json" in said
    assert "a class of diffusers" in said


@pytest.mark.slow
@pytest.mark.parametrize("model", [*BUILDERS, "FluxTransformer2DModel"])
def test_public_models_are_counted_at_their_real_size(model):
    """The classes' own defaults are those of a published model each; encoder and trunk hold what they should."""
    found = inspect_model(model)
    encoder, trunk = found.parts
    assert 0.55 < encoder.gflops < 0.7
    assert 0.99 < trunk.gflops < 1
    assert found.gflops > 1000


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("plugins")
    sys.argv[1:] = ["new-plugin", "my-ovis", "--kind", "family", "--like", "OvisImageTransformer2DModel"]
    sys.argv += ["--out", str(out)]
    assert main() == 0
    return out / "fdplug-my-ovis"


@pytest.mark.slow
def test_a_distribution_for_a_class_of_nobody_passes_its_tests(written):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", "tests"]
    done = subprocess.run(command, cwd=written, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_proposed_family_has_the_parts_of_the_class(written, monkeypatch):
    """Its parts on a tiny transformer of the class, by hand; without the plugin nothing knows it."""
    import importlib

    monkeypatch.syspath_prepend(written)
    (made,) = importlib.import_module("fdplug_my_ovis").fdplug_denoiser_families()
    network = diffusers.OvisImageTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(4, 4, 8),
    )
    family = made()
    assert family.matches(network)
    names = [part.modules for part in family.parts(network)]
    assert names[0] == (
        "x_embedder",
        "context_embedder_norm",
        "context_embedder",
        "transformer_blocks.0",
        "transformer_blocks.1",
        "single_transformer_blocks.0",
    )
    assert names[1][-1] == "single_transformer_blocks.2"
    with pytest.raises(UnsupportedDenoiserError, match="cannot accelerate denoiser Ovis"):
        find_family(SimpleNamespace(transformer=network))


def test_a_class_that_a_family_knows_needs_no_plugin(tmp_path, capsys):
    words = ["new-plugin", "mine", "--kind", "family", "--like", "PRXTransformer2DModel", "--out", str(tmp_path)]
    code, _, said = run(capsys, *words)
    assert code == 2
    assert "family 'prx-transformer-2d' knows PRXTransformer2DModel already" in said


def test_like_is_for_families(tmp_path, capsys):
    words = ["new-plugin", "mine", "--kind", "policy", "--like", "PRXTransformer2DModel", "--out", str(tmp_path)]
    code, _, said = run(capsys, *words)
    assert code == 2
    assert "--like says which model a family is for" in said


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(PipelineError, match="has no unet, transformer, prior folder"):
        inspect_model(str(tmp_path))


def test_a_size_is_at_least_one():
    with pytest.raises(ConfigError, match="sample-size"):
        command.main(["shapes", "--sample-size", "0"])
