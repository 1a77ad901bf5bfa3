"""`fdplug analyze`: streamed statistics against a plain loop that keeps every feature, and the command's files."""

from __future__ import annotations

import csv
import gc
import json
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from fdplug.analysis import inputs
from fdplug.analysis.features import Features, frobenius
from fdplug.analysis.moments import RunningMoments
from fdplug.analysis.pictures import Principal, principal_components
from fdplug.analysis.reading import as_dict, early_share, halves, paragraph
from fdplug.commands import analyze as command
from fdplug.denoisers.blocks import Block, find_blocks
from fdplug.errors import ConfigError, PropagationError
from fdplug.lookup import encoder_part
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.loading import quiet_loading
from fdplug.testing import latents, tiny_pipeline
from fdplug.testing.systems import SYSTEMS

STEPS = 5


def blocks_of(network):
    return find_blocks(network, encoder_part(network))


def kept(pipe, network, names, run):
    """Every feature of every step, by plain forward hooks that store all: {name: [(B, ...), ...]}."""
    store = {name: [] for name in names}

    def hook(name):
        def keep(module, args, output):
            output = output if isinstance(output, torch.Tensor) else output[0]
            store[name].append(output.detach().clone())

        return keep

    handles = [network.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    run()
    for handle in handles:
        handle.remove()
    return store


U_NET = [*(f"down_blocks.{n}" for n in range(4)), "mid_block", *(f"up_blocks.{n}" for n in range(4))]


def stable_diffusion():
    pipe = tiny_pipeline()

    def run(n=2, seed=0):
        latents(pipe, ["a red circle", "a blue square"][:n], seed=seed, num_inference_steps=STEPS)

    return pipe, pipe.unet, U_NET, run


def dit():
    pipe = SYSTEMS["dit"].make()
    names = [f"transformer_blocks.{n}" for n in range(5)]

    def run(n=2, seed=0):
        SYSTEMS["dit"].run(pipe, n, seed=seed, num_inference_steps=STEPS)

    return pipe, pipe.transformer, names, run


@pytest.mark.parametrize("make", [stable_diffusion, dit])
def test_statistics_are_those_of_stored_features(make):
    """Two runs of two guided images: equation 2 and Figure 3 with numpy, from everything kept."""
    pipe, network, names, run = make()
    stores = [kept(pipe, network, names, lambda seed=seed: run(seed=seed)) for seed in (0, 1)]
    features = Features()
    for seed in (0, 1):
        with features.watch(pipe, 2):
            run(seed=seed)
    assert [block.name for block in features.blocks] == names
    assert features.images == 4
    assert len(features.timesteps) == STEPS
    for name in names:
        kept_all = [torch.cat([store[name][step] for store in stores]).double().numpy() for step in range(STEPS)]
        norms = []
        for step, now in enumerate(kept_all):
            channel = 1 if now.ndim == 4 else 2
            norms.append(np.array([np.linalg.norm(row) for row in now.mean(channel)]))
            check(features.measured[name, step, "fnorm"], norms[-1])
            if step:
                before = kept_all[step - 1]
                change = np.array([np.mean((a - b) ** 2) for a, b in zip(now, before, strict=True)])
                check(features.measured[name, step, "mse"], change)
                check(features.measured[name, step, "relative"], change / [np.mean(row**2) for row in before])
        assert (name, 0, "mse") not in features.measured
        check(features.over_steps[name], np.std(norms, axis=0))


def check(moments, values):
    assert moments.count == len(values)
    assert moments.mean == pytest.approx(values.mean(), rel=1e-4)
    assert moments.std == pytest.approx(values.std(), rel=1e-3, abs=1e-7)
    assert (moments.least, moments.most) == pytest.approx((values.min(), values.max()), rel=1e-4)


def test_nothing_is_changed_or_left_behind():
    pipe, network, _, _ = stable_diffusion()
    plain = latents(pipe, num_inference_steps=STEPS)
    with Features().watch(pipe, 1):
        assert torch.equal(latents(pipe, num_inference_steps=STEPS), plain)
    with pytest.raises(ZeroDivisionError), Features().watch(pipe, 1):
        latents(pipe, num_inference_steps=STEPS, callback_on_step_end=lambda *given: 1 / 0)
    assert "step" not in vars(pipe.scheduler)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_memory_does_not_grow_with_steps_or_runs():
    """Bytes of all living tensors at the end of each step: the same from the second step on, in every run."""
    pipe = tiny_pipeline()
    features, living = Features(Principal([1])), []

    def count(pipe, step, timestep, tensors):
        storages = {
            one.untyped_storage().data_ptr(): one.untyped_storage().nbytes()
            for one in gc.get_objects()
            if issubclass(type(one), torch.Tensor)  # isinstance would wake up lazy modules
        }
        living.append(sum(storages.values()))
        return {}

    for run in range(2):
        with features.watch(pipe, 2):
            prompts = ["a red circle", "a blue square"]
            latents(pipe, prompts, seed=run, num_inference_steps=8, callback_on_step_end=count)
    one_step = sum(
        one[0].numel() * 4
        for one in kept(pipe, pipe.unet, U_NET, lambda: latents(pipe, num_inference_steps=3)).values()
    )
    assert max(living[3:8]) - min(living[3:8]) < one_step / 4
    assert max(living[9:]) - max(living[:8]) < one_step / 4


def test_streamed_moments_are_those_of_the_list():
    values = np.random.default_rng(0).normal(1e6, 1e-2, 500)
    moments = RunningMoments()
    moments.add(values.tolist())
    assert moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert moments.std == pytest.approx(values.std(), rel=1e-6)
    assert RunningMoments().std == 0


def test_two_calls_a_step_are_kept_apart():
    """Flux with true guidance calls its transformer twice a step: changes are between calls of the same kind."""
    pipe = SYSTEMS["flux"].make()
    features = Features()
    with features.watch(pipe, 1):
        SYSTEMS["flux"].run(pipe, 1, num_inference_steps=3)
    first = features.blocks[0].name
    assert len(features.timesteps) == 3
    assert features.measured[first, 0, "fnorm"].count == features.measured[first, 2, "mse"].count
    assert features.labels[first] == "E0"


def test_halves_are_those_of_the_family():
    assert [block.half for block in blocks_of(tiny_pipeline().unet)] == [
        *["encoder"] * 4,
        "bottleneck",
        *["decoder"] * 4,
    ]
    blocks = blocks_of(SYSTEMS["dit"].make().transformer)
    assert [block.half for block in blocks] == [*["encoder"] * 3, *["decoder"] * 2], "18 of 28, rounded down: 3 of 5"


def test_labels_are_the_papers():
    pipe, _, _, run = stable_diffusion()
    features = Features()
    with features.watch(pipe, 2):
        run()
    assert list(features.labels.values()) == ["E8", "E4", "E2", "E1", "B1", "D1", "D2", "D4", "D8"]


def test_a_run_without_steps_or_with_other_steps_is_refused():
    pipe = tiny_pipeline()
    features = Features()
    with pytest.raises(PropagationError, match="took no step"), features.watch(pipe, 1):
        pass
    with features.watch(pipe, 1):
        latents(pipe, num_inference_steps=4)
    with pytest.raises(PropagationError, match="4 steps before, 5 now"), features.watch(pipe, 1):
        latents(pipe, num_inference_steps=5)


def test_frobenius_of_maps_and_tokens():
    maps = torch.arange(24.0).reshape(1, 2, 3, 4)
    by_hand = math.sqrt(sum(((a + 12 + a) / 2) ** 2 for a in range(12)))
    assert frobenius(maps) == pytest.approx(by_hand)
    assert frobenius(maps.flatten(2).transpose(1, 2)) == pytest.approx(by_hand)


def test_principal_components_are_those_of_the_covariance():
    rows = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([9.0, 5, 3, 1, 1, 1])
    values, vectors = np.linalg.eigh(np.cov(rows.double().numpy().T))
    truth = (rows.double().numpy() - rows.double().numpy().mean(0)) @ vectors[:, ::-1][:, :3]
    found = principal_components(rows).numpy()
    assert np.abs(np.abs(found) - np.abs(truth)).max() < 1e-6
    assert found.var(0, ddof=1) == pytest.approx(values[::-1][:3])
    assert not principal_components(torch.randn(1, 4)).any()


def test_pictures_are_of_the_conditional_row_and_keep_their_sign():
    pictures = Principal([0, 1], image=1)
    base = torch.randn(1, 5, 4, 6, generator=torch.Generator().manual_seed(1))
    batch = torch.cat([torch.zeros(3, 5, 4, 6), base])  # two images, guided: rows 2 and 3 are the conditional ones
    pictures.draw("x", 0, batch, 2, (4, 6))
    pictures.draw("x", 1, -batch, 2, (4, 6))
    pictures.draw("x", 7, batch, 2, (4, 6))
    assert list(pictures.maps["x"]) == [0, 1]
    assert pictures.maps["x"][0].shape == (4, 6, 3)
    assert (pictures.maps["x"][0].amin((0, 1)) == 0).all()
    assert (pictures.maps["x"][0].amax((0, 1)) == 1).all()
    turned = 1 - pictures.maps["x"][1]  # minus the features, with the components turned back, mirrors every colour
    assert torch.allclose(turned, pictures.maps["x"][0], atol=1e-6) or torch.allclose(
        pictures.maps["x"][1], pictures.maps["x"][0], atol=1e-6
    )
    first = Principal([0], conditional_first=True)
    first.draw("x", 0, batch.flip(0), 2, None)
    assert torch.equal(first.maps["x"][0], pictures.maps["x"][0])


def test_tokens_are_laid_out_like_the_sample():
    pictures = Principal([0])
    tokens = torch.randn(1, 8, 5)
    pictures.draw("wide", 0, tokens, 1, (4, 8))
    pictures.draw("odd", 0, torch.randn(1, 7, 5), 1, None)
    assert pictures.maps["wide"][0].shape == (2, 4, 3)
    assert "odd" not in pictures.maps


def made(encoder, decoder):
    """Features of one encoder and one decoder block, with given changes at steps 1 to 5."""
    features = Features()
    features.blocks = [Block("e", "encoder"), Block("d", "decoder")]
    features.labels = {"e": "E8", "d": "D8"}
    features.timesteps = tuple(float(5 - step) for step in range(6))
    features.images = 3
    for name, changes in (("e", encoder), ("d", decoder)):
        for step in range(6):
            features.measured[name, step, "fnorm"].add([10.0 + step])
            if step:
                features.measured[name, step, "mse"].add([changes[step - 1]])
                features.measured[name, step, "relative"].add([changes[step - 1] / 2])
    return features


def test_the_reading_follows_from_the_numbers():
    less = made([4, 1, 1, 1, 1], [10, 10, 10, 10, 40])
    text = paragraph(less)
    assert "Over 3 images and 6 steps" in text
    assert "its decoder holds here." in text
    assert "The mean squared change is 1.6 in the encoder and 16 in the decoder, 10 times less;" in text
    assert "4 in the encoder (E8, step 1) and 40 in the decoder (D8, step 5)" in text
    assert "holds 50% of the encoder's relative change (20% if it were even): it changes early" in text
    assert early_share(less, "encoder") == pytest.approx(0.5)
    more = made([1, 1, 1, 1, 4], [1, 1, 1, 1, 1])
    assert "does not hold here" in paragraph(more)
    assert "1.6 times as much" in paragraph(more)
    assert "it changes late" in paragraph(more)
    assert halves(more)["encoder"].spread == pytest.approx(np.std([10, 11, 12, 13, 14, 15]))
    assert json.loads(json.dumps(as_dict(more)))["encoder"]["largest"] == [4, "E8", 5]
    mixed = made([1] * 5, [2] * 5)
    for step in range(1, 6):
        mixed.measured["e", step, "relative"].add([99.0])
    assert "holds here by one measure only" in paragraph(mixed)


PANELS = ("mse", "relative", "fnorm", "fnorm_std", "pca")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    with quiet_loading():
        tiny_pipeline().save_pretrained(folder / "sd")
        SYSTEMS["dit"].make().save_pretrained(folder / "dit")
    return folder


@pytest.mark.parametrize("name", ["sd", "dit"])
def test_the_command_writes_figures_tables_and_a_reading(models, name, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--model", str(models / name), "--steps", "4", "--limit", "3", "--batch-size", "2"]
    assert command.main([*arguments, "--out", str(out)]) == 0
    assert "Over 3 images and 4 steps" in " ".join(capsys.readouterr().out.split())
    for panel in PANELS:
        with Image.open(out / f"{panel}.png") as image:
            assert np.asarray(image.convert("L")).std() > 5
        assert ElementTree.parse(out / f"{panel}.svg").getroot().tag.endswith("svg")
    with (out / "steps.csv").open() as file:
        rows = list(csv.DictReader(file))
    blocks = 9 if name == "sd" else 5
    assert len(rows) == 4 * blocks
    assert {row["rows"] for row in rows} == {"6"}, "three guided images make six rows"
    assert all((row["mse_mean"] == "") == (row["step"] == "0") for row in rows)
    with (out / "blocks.csv").open() as file:
        per_block = {row["label"]: row for row in csv.DictReader(file)}
    first = rows[0]["label"]
    mean = np.mean([float(row["mse_mean"]) for row in rows if row["label"] == first and row["step"] != "0"])
    assert float(per_block[first]["mse_mean"]) == pytest.approx(mean)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["settings"]["steps"] == 4
    assert "versions" in summary["settings"]
    assert (out / "reading.md").read_text().startswith("Over 3 images")


def test_unconditional_pipelines_are_analysed_too():
    pipe = SYSTEMS["ddpm"].make()
    features = Features()
    with features.watch(pipe, 2):
        inputs.generate(pipe, inputs.subjects(pipe, "shapes", 2), GenerationConfig(steps=3))
    assert features.measured[features.blocks[0].name, 2, "mse"].count == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "0"], "limit must be a whole number of at least 1, got 0"),
        (["--steps", "2"], "steps must be a whole number of at least 3, got 2"),
        (["--batch-size", "0"], "batch-size must be a whole number"),
        (["--sampler", "dimm"], "did you mean 'ddim'"),
    ],
)
def test_bad_options_are_refused_before_any_model_is_loaded(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        command.main(arguments)
    assert not list(tmp_path.iterdir())
