"""`fdplug generate`: one prompt, one image or video."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.progress import Progress

from fdplug.commands import pipelines
from fdplug.commands.options.generate import parser
from fdplug.commands.options.shared import inline, read_settings
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError
from fdplug.files.films import MP4, encode_film, need_films
from fdplug.files.writing import writable_file, write_bytes
from fdplug.predict.comparison.image_grid import side_by_side
from fdplug.predict.comparison.progress import bars
from fdplug.predict.data.caption_text import problem_of
from fdplug.predict.data.captions import Caption
from fdplug.predict.data.inputs import picture_of, read_inputs
from fdplug.predict.generation.cascade import run_all as call
from fdplug.predict.generation.conditioning import check_conditioning
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import GenerationOutput
from fdplug.predict.generation.loaded_stages import Stage
from fdplug.predict.generation.media import kind_of
from fdplug.predict.storage.atomic import write_png
from fdplug.predict.storage.coding import FRAMES_PER_SECOND, encoded
from fdplug.predict.storage.names import SOUND, VIDEO
from fdplug.predict.storage.preview import preview
from fdplug.presets.fitting import check_preset
from fdplug.presets.preset import Preset, load
from fdplug.scores.base import Batch
from fdplug.scores.fidelity import Fidelity
from fdplug.shapes import MODELS, inputs


def main(argv: list[str]) -> int:
    """Run `fdplug generate` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug generate` with these options."""
    generate(options, Console())
    return 0


def generate(options: argparse.Namespace, console: Console) -> None:
    """Check, draw, write, and say what it took."""
    given, propagation, path, preset = _checked(options)
    caption = Caption(0, options.prompt.strip(), inputs=_inputs(options))
    for argument, _ in caption.inputs:
        picture_of(caption, argument)  # says what is wrong before a model is loaded
    pipe, generation = pipelines.opened(options, given)
    if preset is not None:
        check_preset(preset, pipe, given.size)
    stages = pipelines.stages(options, pipe, generation)
    check_conditioning(pipe, [caption], given.size, given.arguments)
    last = stages[-1].pipe if stages else pipe
    if path.suffix.lower() == MP4 and kind_of(last) != VIDEO:
        raise ConfigError(f"{type(last).__name__} makes no video, which .mp4 is for; name a .png file")
    if kind_of(last) == SOUND:
        raise ConfigError(f"{type(pipe).__name__} makes sounds, which a .png cannot hold: take fdplug predict")
    if options.compare:
        call(pipe, (), [caption], generation.changed(steps=1))  # the first call is slow, whichever it is
    with bars(console) as progress:
        as_it_is = [stage.with_settings(stage.config.changed(propagation=None)) for stage in stages]
        plain = _drawn(pipe, as_it_is, caption, generation, None, progress) if options.compare else None
        done = _drawn(pipe, stages, caption, generation, propagation, progress)
    console.print(_sentence(done, generation), highlight=False)
    if path.suffix.lower() == MP4:
        write_bytes(encode_film(done.images[0], done.rate or FRAMES_PER_SECOND), path)
    elif plain is None:
        write_bytes(encoded(done.images[0], done.rate)[1], path)
    else:
        console.print(_difference(plain, done), highlight=False)
        write_png(_beside(plain, done, caption.text), path)
    console.print(f"Written: {path}", highlight=False)


def _inputs(options: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """The pictures to begin from: those that are given, or what an embedded model begins from."""
    own = inputs(options.model) if options.model in MODELS else ()
    return tuple({**dict(own), **read_inputs(inline(options.input))}.items())


def _drawn(
    pipe: Any,
    stages: Sequence[Stage],
    caption: Caption,
    generation: GenerationConfig,
    propagation: PropagationConfig | None,
    progress: Progress,
) -> GenerationOutput:
    title = "as it is" if propagation is None else "with propagation"
    task = progress.add_task(title, total=generation.all_steps)
    return call(
        pipe,
        stages,
        [caption],
        generation,
        propagation,
        lambda done, total: progress.update(task, completed=done, total=total),
        count=True,
    )


def _sentence(done: GenerationOutput, generation: GenerationConfig) -> str:
    cost = f"{done.seconds:.3g} s"
    if done.denoiser_seconds is not None:
        cost += f", {done.denoiser_seconds:.3g} s of it in the denoiser"
    steps, gflops = f"{generation.all_steps} steps", done.gflops()
    if done.num_key_steps is not None:
        steps += f", {done.num_key_steps} of them key steps"
    if gflops is not None:
        cost += f", {gflops:.3g} GFLOPs"
    return f"{steps}: {cost}."


def _difference(plain: GenerationOutput, done: GenerationOutput) -> str:
    fidelity = Fidelity()
    fidelity.begin()
    fidelity.update(Batch(done.images, baseline=plain.images))
    values = fidelity.compute()
    return f"As it is: {plain.seconds:.3g} s. PSNR {values['psnr']:.1f} dB, SSIM {values['ssim']:.3f}."


def _beside(plain: GenerationOutput, done: GenerationOutput, caption: str) -> Image.Image:
    labels = [f"as it is\n{plain.seconds:.2g} s", f"propagated\n{done.seconds:.2g} s"]
    pictures = [preview(one.images[0]) for one in (plain, done)]
    return side_by_side(labels, [caption], [pictures])


def _checked(options: argparse.Namespace) -> tuple[GenerationConfig, PropagationConfig | None, Path, Preset | None]:
    """Refuse every option that cannot be right, before any model is loaded."""
    if not options.prompt.strip():
        raise ConfigError("the prompt is empty; say what the image shows")
    if problem := problem_of(options.prompt):
        raise ConfigError(f"the prompt {problem}")
    generation = pipelines.check_model_options(options)
    propagation = read_settings(options, PropagationConfig)
    preset = None if options.preset is None else load(options.preset)
    if preset is not None:
        generation, propagation = _of_preset(preset, generation, propagation)
    if options.compare and options.no_propagation:
        raise ConfigError("--compare shows what propagation changes; leave out --no-propagation")
    path = Path(options.out)
    if path.suffix.lower() not in (".png", MP4) or path.is_dir():
        raise ConfigError(f"--out is '{path}', the name of a .png file is needed, or of an .mp4 file for a video")
    if path.suffix.lower() == MP4:
        need_films("--out with .mp4")
        if options.compare:
            raise ConfigError("--compare puts pictures side by side, in a .png file")
    writable_file(path)
    return generation, None if options.no_propagation else propagation, path, preset


def _of_preset(
    preset: Preset, generation: GenerationConfig, propagation: PropagationConfig
) -> tuple[GenerationConfig, PropagationConfig]:
    """Return the settings of a preset, what was given besides on top of them."""
    if propagation != PropagationConfig():
        raise ConfigError("give either --preset or the options of propagation: a preset holds every one of them")
    preset, under = preset.under(generation.chosen())
    return generation.changed(**under), preset.config
