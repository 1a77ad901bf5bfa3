"""Pipelines in a row: the images are those of diffusers' own pipelines called by hand, and costs add up."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import fdplug
from fdplug.errors import ConfigError, PipelineError
from fdplug.predict import Caption
from fdplug.predict.data.seeds import generators, seed_of
from fdplug.predict.generation.cascade import run_all
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run
from fdplug.predict.generation.loaded_stages import Stage, all_networks, check_stages, final_size, load_stages
from fdplug.predict.generation.loading import load_pipeline
from fdplug.predict.generation.stage import StageConfig
from fdplug.testing.systems import SYSTEMS
from tests.predict import cascades

CAPTIONS = [Caption(3, "a red circle"), Caption(10, "a small blue square")]
KEYS = {"policy": {"uniform": {"interval": 2}}, "injector": "none"}


@pytest.fixture(scope="module")
def deepfloyd(tmp_path_factory):
    """The first model's folder, and the stages behind it."""
    return cascades.save(tmp_path_factory.mktemp("if"))


@pytest.fixture(scope="module")
def opened(deepfloyd):
    model, then = deepfloyd
    generation = GenerationConfig(steps=4, size=8, seed=5, then=then)
    pipe = load_pipeline(model)
    return pipe, load_stages(pipe, generation.stages), generation


def _by_hand(pipe, stages, captions, seed):
    """The three pipelines as diffusers' documentation calls them, pictures of 8 bits between them."""
    words = [caption.text for caption in captions]
    first = [seed_of(seed, caption.image_id) for caption in captions]
    made = pipe(prompt=words, generator=generators(first), num_inference_steps=4, height=8, width=8).images
    second = generators(seed_of(one, 1) for one in first)
    options = {"num_inference_steps": 3, "height": 16, "width": 16}
    made = stages[0].pipe(prompt=words, image=made, generator=second, **options).images
    third = generators(seed_of(one, 2) for one in first)
    options = {"num_inference_steps": 4, "noise_level": 10, "output_type": "pt"}
    return stages[1].pipe(prompt=words, image=made, generator=third, **options).images


def test_a_cascade_is_its_pipelines_one_after_the_other(opened):
    pipe, stages, generation = opened
    made = run_all(pipe, stages, CAPTIONS, generation)
    expected = (_by_hand(pipe, stages, CAPTIONS, 5) * 255).round().to(torch.uint8)
    assert made.images.shape == (2, 3, 32, 32)
    assert torch.equal(made.images, expected)
    assert [stage.name for stage in made.stages] == [
        *("IFPipeline", "IFSuperResolutionPipeline", "StableDiffusionUpscalePipeline")
    ]
    assert made.seconds == pytest.approx(sum(stage.seconds for stage in made.stages))


def test_an_image_of_a_cascade_does_not_depend_on_its_batch(opened):
    pipe, stages, generation = opened
    whole = run_all(pipe, stages, CAPTIONS, generation).images
    alone = torch.cat([run_all(pipe, stages, [caption], generation).images for caption in CAPTIONS])
    assert (whole.int() - alone.int()).abs().max() <= 2  # a level at 8 bits in the first stage may grow


def test_every_stage_has_its_own_propagation_and_costs_add_up(opened):
    pipe, stages, generation = opened
    keys = fdplug.PropagationConfig(**KEYS)
    fast = [stage.with_settings(stage.config.changed(propagation=KEYS)) for stage in stages[:1]] + [stages[1]]
    made = run_all(pipe, fast, CAPTIONS, generation, keys, count=True)
    assert [stage.key_steps for stage in made.stages] == [(0, 2), (0, 2), (0, 1, 2, 3)]
    assert [stage.steps for stage in made.stages] == [4, 3, 4]
    assert made.num_key_steps == 8
    alone = run(pipe, CAPTIONS, generation, keys, count=True)
    assert made.stages[0].counted["full"] == pytest.approx(alone.counted["full"])
    assert made.gflops() == pytest.approx(sum(stage.counted["full"] for stage in made.stages))
    plain = run_all(pipe, stages, CAPTIONS, generation, count=True)
    assert [plain.stages[2].counted] == [made.stages[2].counted]
    assert all(plain.stages[at].counted["full"] > made.stages[at].counted["full"] for at in (0, 1))
    assert not torch.equal(plain.images, made.images)
    exact = fdplug.PropagationConfig.unaccelerated()
    assert torch.equal(run_all(pipe, stages, CAPTIONS, generation, exact).images, plain.images)


def test_steps_of_all_stages_are_one_count(opened):
    pipe, stages, generation = opened
    seen = []
    run_all(pipe, stages, CAPTIONS[:1], generation, on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(step, 11) for step in range(1, 12)]


def test_components_are_shared_where_a_stage_says_so(opened):
    pipe, stages, _ = opened
    assert stages[0].pipe.text_encoder is pipe.text_encoder
    assert stages[1].pipe.text_encoder is not pipe.text_encoder
    assert {"unet", "2.unet", "3.unet", "3.vae"} <= set(all_networks(pipe, stages))


def test_the_size_at_the_end_is_known(opened):
    pipe, stages, _ = opened
    assert final_size(pipe, stages, 8) == (64, 64)  # as the real upscaler, whose decoder is of factor four


def test_base_and_refiner_hand_on_latents():
    base, refiner = SYSTEMS["sdxl"].make(), SYSTEMS["sdxl-refiner"].make()
    config = StageConfig(
        model="refiner", takes="latents", steps=6, arguments={"denoising_start": 0.5, "aesthetic_score": 6.0}
    )
    generation = GenerationConfig(steps=6, arguments={"denoising_end": 0.5}, then=[config])
    stage = Stage(config, refiner, type(refiner.scheduler).from_config(refiner.scheduler.config))
    made = run_all(base, [stage], CAPTIONS, generation)
    words = [caption.text for caption in CAPTIONS]
    seeds = [seed_of(0, caption.image_id) for caption in CAPTIONS]
    latents = base(
        words, num_inference_steps=6, denoising_end=0.5, output_type="latent", generator=generators(seeds)
    ).images
    expected = refiner(
        words,
        image=latents,
        num_inference_steps=6,
        denoising_start=0.5,
        output_type="pt",
        generator=generators(seed_of(seed, 1) for seed in seeds),
    ).images
    assert torch.equal(made.images, (expected * 255).round().to(torch.uint8))


def test_a_stage_without_a_model_goes_on_with_the_same_weights(loaded):
    config = StageConfig(
        pipeline="StableDiffusionImg2ImgPipeline", steps=8, size=32, arguments={"strength": 0.5}, propagation=KEYS
    )
    generation = GenerationConfig(steps=4, then=[config])
    stages = load_stages(loaded, generation.stages)
    assert stages[0].pipe.unet is loaded.unet
    made = run_all(loaded, stages, CAPTIONS, generation, fdplug.PropagationConfig(**KEYS), count=True)
    assert made.images.shape == (2, 3, 32, 32)
    assert [stage.steps for stage in made.stages] == [4, 8]
    assert [stage.key_steps for stage in made.stages] == [(0, 2), (4, 6)], "the last four of eight timesteps"
    first = run(loaded, CAPTIONS, generation, fdplug.PropagationConfig(**KEYS)).images
    pictures = [
        Image.fromarray(one.permute(1, 2, 0).numpy()).resize((32, 32), Image.Resampling.LANCZOS) for one in first
    ]
    seeds = generators(seed_of(seed_of(0, caption.image_id), 1) for caption in CAPTIONS)
    with fdplug.propagate(stages[0].pipe, **KEYS):
        expected = (
            stages[0]
            .pipe(
                [caption.text for caption in CAPTIONS],
                image=pictures,
                strength=0.5,
                num_inference_steps=8,
                generator=seeds,
                output_type="pt",
            )
            .images
        )
    assert torch.equal(made.images, (expected * 255).round().to(torch.uint8))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("x", "then is a list of stages, as"),
        ([{}], "this one names neither"),
        ([{"model": "a/b", "stepz": 3}], "no setting of a stage 'stepz', did you mean 'steps'"),
        ([{"model": "a/b", "takes": "video"}], "takes must be one of image, latents"),
        ([{"model": "a/b", "shares": "vae"}], "shares of a stage is a list of components"),
        ([{"model": 3}], "model of a stage is a text, got 3"),
        ([{"model": "a/b", "propagation": {"policy": "none-such"}}], "none-such"),
    ],
)
def test_impossible_stages_are_refused(given, message):
    with pytest.raises(fdplug.FdplugError, match=message):
        GenerationConfig(then=given)


def test_stages_are_refused_before_anything_is_loaded(tmp_path, model):
    with pytest.raises(
        ConfigError, match="has no pipeline 'StableDiffusionImg2Img', did you mean 'StableDiffusionImg2"
    ):
        check_stages([StageConfig(pipeline="StableDiffusionImg2Img")])
    with pytest.raises(PipelineError, match="does not exist"):
        check_stages([StageConfig(model=str(tmp_path / "none"))])
    with pytest.raises(PipelineError, match="StableDiffusionPipeline takes no image to begin from"):
        check_stages([StageConfig(model=model)], CAPTIONS)
    with pytest.raises(ConfigError, match="takes no 'strenght', did you mean 'strength'"):
        check_stages([StageConfig(pipeline="StableDiffusionImg2ImgPipeline", arguments={"strenght": 1})], CAPTIONS)


def test_what_is_not_there_is_not_shared(deepfloyd, loaded):
    stage = StageConfig(model=deepfloyd[1][1]["model"], shares=("image_encoder",))
    with pytest.raises(ConfigError, match="StableDiffusionPipeline has no image_encoder to share"):
        load_stages(loaded, [stage])
    stage = StageConfig(pipeline="IFSuperResolutionPipeline")
    with pytest.raises(PipelineError, match="IFSuperResolutionPipeline cannot go on with the components of"):
        load_stages(loaded, [stage])
