"""`predict` on pipelines that make videos, sounds, and images from pictures, classes or nothing; saved and loaded."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from fdplug.errors import ConfigError, DataError, PipelineError
from fdplug.files.images import read_image
from fdplug.files.source import Source
from fdplug.files.videos import decode_video
from fdplug.predict import ClassLabels, LogScores, PromptFile, Samples
from fdplug.predict.generation import loading
from fdplug.predict.generation.conditioning import check_conditioning
from fdplug.predict.generation.media import kind_of
from fdplug.predict.storage.preview import read
from fdplug.testing.systems import SYSTEMS
from tests.predict.killing import run_until
from tests.predict.predicting import check_whole, content, numbers, predict, records

VIDEO = {"num_frames": 3, "height": 16, "width": 16}
PROMPTS = ("a red circle", "a blue square", "a circle")


def saved(name, folder):
    with loading.quiet_loading():
        SYSTEMS[name].make().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def filmer(tmp_path_factory):
    return saved("text-to-video", tmp_path_factory.mktemp("filmer"))


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text("".join(f"{text}\n" for text in PROMPTS))
    return str(path)


def film(model, prompts, folder, callbacks=(), **options):
    data = PromptFile(prompts, batch_size=2)
    return predict(model, None, folder, callbacks, data=data, arguments=VIDEO, steps=3, **options)


@pytest.fixture(scope="module")
def whole(filmer, prompts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "out"
    film(filmer, prompts, folder, [LogScores(["temporal"])])
    return folder


def expected(filmer, folder, place):
    """The frames that the pipeline itself makes of one prompt, with the seed that the manifest names."""
    pipe = loading.load_pipeline(filmer)
    seed = records(folder)[place]["seed"]
    generators = [torch.Generator().manual_seed(seed)]
    with torch.no_grad():
        made = pipe([PROMPTS[place]], num_inference_steps=3, generator=generators, output_type="np", **VIDEO)
    return torch.tensor((made.frames[0] * 255).round()).to(torch.uint8).permute(0, 3, 1, 2)


def test_a_video_is_that_of_the_pipeline_and_is_played_by_others(filmer, prompts, tmp_path):
    film(filmer, prompts, tmp_path, propagation=None)
    path = tmp_path / "000000000001.png"
    found = decode_video(path.read_bytes(), Source(path, "video", ""))
    assert (found.int() - expected(filmer, tmp_path, 1).int()).abs().max() <= 1
    with Image.open(path.with_suffix(".gif")) as moving:
        assert moving.n_frames == 3
    assert [one["rate"] for one in records(tmp_path)] == [8.0] * 3


def test_scores_of_videos_are_logged(whole):
    found = [read(whole / f"{index:012d}.png") for index in range(3)]
    steady = [1 - one.double().diff(dim=0).abs().mean() / 255 for one in found]
    assert numbers(whole)["steadiness"] == pytest.approx(float(sum(steady) / 3))


def test_scores_that_are_for_images_are_refused(filmer, prompts, tmp_path):
    callback = LogScores(["fid"])
    callback.setup = lambda trainer, pl_module, stage: None
    with pytest.raises(ConfigError, match="score 'fid' cannot be computed of videos"):
        film(filmer, prompts, tmp_path, [callback])


@pytest.mark.parametrize("operation", [9, pytest.param(16, marks=pytest.mark.slow), 25])
def test_a_killed_run_of_videos_goes_on(filmer, prompts, whole, tmp_path, operation):
    def run():
        return film(filmer, prompts, tmp_path / "out", [LogScores(["temporal"])])

    assert run_until(run, operation)
    _, writer, _ = run()
    assert writer.generated >= 1
    assert content(tmp_path / "out") == content(whole)
    assert records(tmp_path / "out") == records(whole)
    assert numbers(tmp_path / "out") == numbers(whole)
    data = PromptFile(prompts)
    data.setup()
    check_whole(tmp_path / "out", data.captions)


def test_a_harmed_video_is_made_again(filmer, prompts, whole, tmp_path):
    out = tmp_path / "out"
    film(filmer, prompts, out, [LogScores(["temporal"])])
    path = out / "000000000002.png"
    path.write_bytes(path.read_bytes()[:-9])
    _, writer, _ = film(filmer, prompts, out, [LogScores(["temporal"])])
    assert writer.generated == 1
    assert content(out) == content(whole)


def test_overwriting_removes_videos_and_what_stands_beside_them(filmer, prompts, tmp_path):
    film(filmer, prompts, tmp_path)
    predict(filmer, None, tmp_path, data=PromptFile(prompts, limit=1), arguments=VIDEO, steps=3, overwrite=True)
    assert sorted(path.name for path in tmp_path.glob("*.*g*f")) == ["000000000000.gif"]
    assert list(content(tmp_path)) == ["000000000000.png"]


# --- from pictures, classes, nothing --------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    """Named by id, with and without zeros before it."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for place, name in enumerate(("0.png", "000000000001.png", "2.png")):
        Image.new("RGB", (16, 16), (40 * place + 90, 120, 30)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def repainter(tmp_path_factory):
    return saved("sd-img2img", tmp_path_factory.mktemp("repainter"))


def test_image_to_image_begins_from_the_pictures_of_a_folder(repainter, prompts, pictures, tmp_path):
    data = PromptFile(prompts, batch_size=2, inputs=str(pictures))
    options = {"arguments": {"strength": 0.6}, "steps": 5, "propagation": None}
    predict(repainter, None, tmp_path / "out", data=data, **options)
    pipe = loading.load_pipeline(repainter)
    seed = records(tmp_path / "out")[1]["seed"]
    with torch.no_grad():
        made = pipe(
            PROMPTS[1],
            image=read_image(pictures / "000000000001.png"),
            strength=0.6,
            num_inference_steps=5,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        ).images[0]
    found = read(tmp_path / "out" / "000000000001.png").permute(1, 2, 0)
    assert (found.int() - torch.tensor((made * 255).round()).int()).abs().max() <= 1


def test_other_pictures_are_another_run(repainter, prompts, pictures, tmp_path):
    def run():
        data = PromptFile(prompts, limit=1, inputs=str(pictures))
        predict(repainter, None, tmp_path / "out", data=data, steps=5, propagation=None)

    run()
    run()
    Image.new("RGB", (16, 16), "white").save(pictures / "0.png")
    with pytest.raises(ConfigError, match="begun with other captions: selection"):
        run()


def test_pictures_may_stand_in_a_column(pictures, tmp_path):
    table = tmp_path / "prompts.csv"
    table.write_text("prompt,from\na red circle,pictures/2.png\na circle,pictures/0.png\n")
    data = PromptFile(str(table), inputs={"image": "from"})
    data.setup()
    assert [caption.inputs for caption in data.captions] == [
        (("image", str(pictures / "2.png")),),
        (("image", str(pictures / "0.png")),),
    ]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("{folder}", r"has no picture for caption 1; it would be 000000000001.png, 000000000001.jpg"),
        ("nowhere", r"'nowhere'|no folder nowhere|no column 'nowhere'"),
        ({"image": 3}, r"inputs is a folder, or a mapping such as \{image: FOLDER\}"),
    ],
)
def test_missing_pictures_are_told(prompts, pictures, inputs, message):
    (pictures / "000000000001.png").unlink()
    with pytest.raises((DataError, ConfigError), match=message):
        PromptFile(prompts, inputs=str(pictures) if inputs == "{folder}" else inputs).setup()


def never_loaded(monkeypatch):
    monkeypatch.setattr("fdplug.predict.lightning.module.load_pipeline", lambda *a, **k: pytest.fail("it was loaded"))


@pytest.mark.parametrize(
    ("name", "options", "data", "message"),
    [
        ("sd-img2img", {}, PromptFile, "StableDiffusionImg2ImgPipeline needs a picture for every caption"),
        (
            "text-to-video",
            {"arguments": {"num_frame": 3}},
            PromptFile,
            "takes no 'num_frame', did you mean 'num_frames'",
        ),
        ("text-to-video", {"arguments": {"prompt": "x"}}, PromptFile, "'prompt' is made of captions, seeds"),
        ("text-to-video", {}, lambda _: ClassLabels([1], num_classes=3), "generates from prompts, not class labels"),
        ("ddpm", {}, PromptFile, "it generates from nothing; give --data Samples"),
        ("dit", {}, PromptFile, "takes no prompt but class labels; give --data ClassLabels"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(
    name, options, data, message, prompts, tmp_path, monkeypatch
):
    model = tmp_path / "model"
    model.mkdir()
    (model / "model_index.json").write_text(json.dumps({"_class_name": SYSTEMS[name].pipeline}))
    never_loaded(monkeypatch)
    with pytest.raises((PipelineError, ConfigError), match=message):
        predict(str(model), None, tmp_path / "out", data=data(prompts), **options)


def test_an_unconditional_model_makes_so_many_samples(tmp_path):
    model = saved("ddpm", tmp_path / "model")
    predict(model, None, tmp_path / "out", data=Samples(3, batch_size=2), steps=3)
    assert len(content(tmp_path / "out")) == 3


def test_a_sound_is_a_wav_of_the_model_s_rate(tmp_path):
    """DanceDiffusion, whose denoiser no family knows: as it is."""
    from diffusers import DanceDiffusionPipeline, IPNDMScheduler, UNet1DModel
    from scipy.io import wavfile

    unet = UNet1DModel(
        block_out_channels=(32, 32, 64),
        extra_in_channels=64,
        sample_size=512,
        sample_rate=16_000,
        in_channels=2,
        out_channels=2,
        flip_sin_to_cos=True,
        use_timestep_embedding=False,
        time_embedding_type="fourier",
        mid_block_type="UNetMidBlock1D",
        down_block_types=("DownBlock1DNoSkip", "DownBlock1D", "AttnDownBlock1D"),
        up_block_types=("AttnUpBlock1D", "UpBlock1D", "UpBlock1DNoSkip"),
    )
    with loading.quiet_loading():
        DanceDiffusionPipeline(unet=unet, scheduler=IPNDMScheduler()).save_pretrained(tmp_path / "model")
    out = tmp_path / "out"
    predict(str(tmp_path / "model"), None, out, data=Samples(2), steps=2, propagation=None)
    rate, samples = wavfile.read(out / "000000000001.wav")
    assert (rate, samples.shape) == (16_000, (512, 2))
    assert torch.equal(read(out / "000000000001.wav"), torch.tensor(samples).t())
    before = (out / "000000000001.wav").read_bytes()
    _, writer, _ = predict(str(tmp_path / "model"), None, out, data=Samples(2), steps=2, propagation=None)
    assert writer.generated == 0
    assert (out / "000000000001.wav").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("WanPipeline", "video"),
        ("StableVideoDiffusionPipeline", "video"),
        ("LattePipeline", "video"),
        ("StableAudioPipeline", "sound"),
        ("AudioLDM2Pipeline", "sound"),
        ("FluxPipeline", "image"),
        ("DDPMPipeline", "image"),
    ],
)
def test_what_a_pipeline_makes_is_known_by_its_class(name, made):
    import diffusers

    assert kind_of(getattr(diffusers, name)) == made


def test_what_a_pipeline_takes_is_known_by_its_class():
    from diffusers import FluxPipeline

    check_conditioning(FluxPipeline, [], 512, {"true_cfg_scale": 2.0})
