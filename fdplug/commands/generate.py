"""`fdplug generate`: one caption, one image, for one look."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.progress import Progress

from fdplug.commands import options as shared
from fdplug.errors import ConfigError
from fdplug.metrics.fidelity import Fidelity
from fdplug.pipeline import DECODINGS
from fdplug.predict.comparison.image_grid import side_by_side
from fdplug.predict.comparison.progress import bars
from fdplug.predict.comparison.variant import Variant
from fdplug.predict.data.captions import Caption
from fdplug.predict.generation.generate import Look, Run, run
from fdplug.predict.storage.atomic import writable_folder, write_png

PROPAGATION = ("policy", "cache", "injector", "part", "decoding", "max_span_batch")


def main(argv: list[str]) -> int:
    """Run `fdplug generate` with these arguments."""
    options = parser().parse_args(argv)
    generate(options, Console())
    return 0


def _rows(text: str) -> int | str:
    return text if text == "auto" else int(text)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = shared.Parser(prog="fdplug generate", description="Draw one caption.")
    parser.add_argument("caption", help="what to draw")
    parser.add_argument("--out", default="image.png", help="PNG file to write (default image.png)")
    shared.add_sampler_options(parser)
    parser.add_argument("--policy", default="paper", help="key steps: paper, '{uniform: {interval: 4}}', ...")
    parser.add_argument("--cache", default="reuse", help="what the other steps are given (default reuse)")
    parser.add_argument("--injector", default="prior", help="noise put back late in the run (default prior)")
    parser.add_argument("--part", default="encoder", help="what is computed at key steps only (default encoder)")
    parser.add_argument("--decoding", choices=DECODINGS, default="auto", help="how spans are decoded (default auto)")
    parser.add_argument("--max-span-batch", type=_rows, help="most rows in one parallel call, or auto")
    parser.add_argument("--no-propagate", action="store_true", help="run the pipeline as it is")
    parser.add_argument("--compare", action="store_true", help="put the un-accelerated image beside it")
    shared.add_model_options(parser)
    return parser


def generate(options: argparse.Namespace, console: Console) -> None:
    """Check, draw, write, and say what it took."""
    variant, path = _checked(options)
    pipe, look = shared.opened(options, variant)
    caption = Caption(0, options.caption.strip())
    if options.compare:
        run(pipe, [caption], replace(look, steps=1))  # the first call is slow, whichever it is
    with bars(console) as progress:
        plain = _drawn(pipe, caption, look, None, progress) if options.compare else None
        done = _drawn(pipe, caption, look, variant.propagate, progress)
    console.print(_sentence(done, look), highlight=False)
    if plain is None:
        write_png(done.images[0], path)
    else:
        console.print(_difference(plain, done), highlight=False)
        write_png(_beside(plain, done, caption.text), path)
    console.print(f"Written: {path}", highlight=False)


def _drawn(pipe: Any, caption: Caption, look: Look, propagate: Any, progress: Progress) -> Run:
    title = "as it is" if propagate is None else "with propagation"
    task = progress.add_task(title, total=look.steps)
    return run(
        pipe,
        [caption],
        look,
        propagate,
        lambda done, total: progress.update(task, completed=done, total=total),
        count=True,
    )


def _sentence(done: Run, look: Look) -> str:
    cost = f"{done.seconds:.3g} s, {done.denoiser_seconds:.3g} s of it in the denoiser"
    if done.ledger is None:
        return f"{look.steps} steps: {cost}."
    gflops = done.gflops()
    return f"{look.steps} steps, {len(done.ledger.key_steps)} of them key steps: {cost}, {gflops:.3g} GFLOPs."


def _difference(plain: Run, done: Run) -> str:
    fidelity = Fidelity()
    fidelity.update(done.images, plain.images)
    values = fidelity.compute()
    return f"As it is: {plain.seconds:.3g} s. PSNR {values['psnr']:.1f} dB, SSIM {values['ssim']:.3f}."


def _beside(plain: Run, done: Run, caption: str) -> Image.Image:
    labels = [f"as it is\n{plain.seconds:.2g} s", f"propagated\n{done.seconds:.2g} s"]
    pictures = [Image.fromarray(one.images[0].permute(1, 2, 0).numpy()) for one in (plain, done)]
    return side_by_side(labels, [caption], [pictures])


def _checked(options: argparse.Namespace) -> tuple[Variant, Path]:
    """Refuse every option that cannot be right, before any model is loaded."""
    if not options.caption.strip():
        raise ConfigError("the caption is empty; say what to draw.")
    shared.check_model_options(options)
    settings = {name: shared.inline(getattr(options, name)) for name in PROPAGATION}
    propagate = None if options.no_propagate else settings
    if options.compare and propagate is None:
        raise ConfigError("--compare shows what propagation changes; leave out --no-propagate.")
    variant = Variant(name="generate", sampler=shared.inline(options.sampler), steps=options.steps, propagate=propagate)
    path = Path(options.out)
    if path.suffix.lower() != ".png" or path.is_dir():
        raise ConfigError(f"--out is '{path}', the name of a .png file is needed.")
    writable_folder(path.parent)
    return variant, path
