"""What leaving a prediction alone costs: `fdplug predict` against a bare loop, two processes against one, and memory.

    python -m benchmarks.predict_throughput                 all three, written to benchmarks/results/

*Machinery*: Lightning's loop with the writer, manifest, costs and progress, against calls of the same pipeline on the
same captions and seeds that keep nothing, batch by batch in turn in one process. Target: at least 97 % of the images/s.

*Processes*: the command with one process and with two (gloo), one thread each, in turn; the first batch of each process
is left out. Target: at least 1.7 times the images/s on two cores.

*Memory*: the resident memory of the command over 2,000 captions, from the 200th image on. Target: less than 5 % more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from fdplug.config import PropagationConfig
from fdplug.predict import CocoCaptions, ImageWriter, LogCosts, TextToImage
from fdplug.predict.data.seeds import generators
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.lightning.callbacks.progress_bar import ImageBar
from fdplug.predict.lightning.callbacks.summary import Summary
from fdplug.profiling.provenance import provenance, summary
from fdplug.shapes import annotations_file

RESULTS = Path(__file__).parent / "results"
POLICY = PropagationConfig(policy={"uniform": {"interval": 6}})


class Interleaved(Callback):
    """After every batch, calls the same pipeline barely on the same captions; the last of all callbacks."""

    def __init__(self) -> None:
        self.predict: list[float] = []
        self.bare: list[float] = []
        self._mark = 0.0

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self._mark = time.perf_counter()

    def on_predict_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Stop it, generate the batch again, and start it."""
        start = time.perf_counter()
        self.predict.append(start - self._mark)
        bare(pl_module.pipe, batch, pl_module.generation)
        self._mark = time.perf_counter()
        self.bare.append(self._mark - start)


def bare(pipe: Any, captions: list[Any], generation: GenerationConfig) -> list[Any]:
    """What one would write without fdplug; images as PIL, not saved."""
    seeds = generators(caption.noise_seed(generation.seed) for caption in captions)
    texts = [caption.text for caption in captions]
    return pipe(
        prompt=texts, generator=seeds, num_inference_steps=generation.resolved_steps, guidance_scale=generation.guidance
    ).images


class Resident(Callback):
    """Notes the process's resident memory in MB after every batch."""

    def __init__(self) -> None:
        self.images: list[int] = []
        self.megabytes: list[float] = []

    def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any) -> None:
        """Read it from the kernel."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.images.append((self.images[-1] if self.images else 0) + len(outputs.captions))
        self.megabytes.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def predicted(folder: Path, data: CocoCaptions, extra: Callback, **options: Any) -> None:
    """Run what `fdplug predict` runs, in this process."""
    callbacks = [ImageWriter(str(folder)), LogCosts(), ImageBar(), Summary(), extra]
    trainer = Trainer(accelerator="cpu", devices=1, logger=False, callbacks=callbacks, enable_model_summary=False)
    trainer.predict(TextToImage(**options), data, return_predictions=False)


def machinery(folder: Path, captions: int, batch_size: int, steps: int) -> dict[str, Any]:
    """Images/s of both, with propagation and without; the median over batches of the ratio, without the first batch."""
    found: dict[str, Any] = {"captions": captions, "batch_size": batch_size, "steps": steps}
    for name, options in {"plain": {"propagation": None}, "propagated": {"propagation": POLICY}}.items():
        clock = Interleaved()
        data = CocoCaptions(limit=captions, batch_size=batch_size)
        predicted(folder / name, data, clock, steps=steps, **options)
        ratios = [own / both for own, both in zip(clock.bare[1:], clock.predict[1:], strict=True)]
        found[name] = {
            "bare_images_per_second": batch_size / statistics.median(clock.bare[1:]),
            "predict_images_per_second": batch_size / statistics.median(clock.predict[1:]),
            "share": statistics.median(ratios),
            "batches": len(ratios),
        }
    return found


def processes(folder: Path, captions: int, batch_size: int, steps: int, rounds: int) -> dict[str, Any]:
    """Images/s of the command with one process and with two, in turn, and the median of the ratios."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for index in range(rounds):
        for count in (1, 2) if index % 2 == 0 else (2, 1):
            out = folder / f"{index}-{count}"
            command(out, captions, batch_size, steps, count)
            rates[count].append(steady_rate(out, batch_size * count))
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    return {
        "captions": captions,
        "batch_size": batch_size,
        "steps": steps,
        "one_images_per_second": rates[1],
        "two_images_per_second": rates[2],
        "ratio": statistics.median(ratios),
    }


def command(out: Path, captions: int, batch_size: int, steps: int, count: int) -> None:
    """Run `fdplug predict` with so many processes of one thread each."""
    strategy = ["--trainer.strategy", "ddp"] if count > 1 else []
    options = [f"--data.limit={captions}", f"--data.batch_size={batch_size}", f"--model.steps={steps}"]
    places = [f"--writer.folder={out}", "--trainer.accelerator=cpu", f"--trainer.devices={count}", *strategy]
    subprocess.run(
        [sys.executable, "-m", "fdplug", "predict", "--model.propagation=null", *options, *places],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )


def steady_rate(folder: Path, first: int) -> float:
    """Images/s by the times of the files, after the first so many."""
    times = sorted(path.stat().st_mtime for path in folder.glob("*.png"))
    return (len(times) - first) / (times[-1] - times[first - 1])


def memory(folder: Path, captions: int, batch_size: int, steps: int) -> dict[str, Any]:
    """Resident memory after the 200th image, at the end, and at most in between."""
    clock = Resident()
    predicted(folder / "memory", repeated_captions(folder, captions, batch_size), clock, steps=steps, propagation=None)
    begin = next(index for index, images in enumerate(clock.images) if images >= min(200, captions // 2))
    first, last, most = clock.megabytes[begin], clock.megabytes[-1], max(clock.megabytes[begin:])
    return {
        "captions": clock.images[-1],
        "first_mb": first,
        "last_mb": last,
        "most_mb": most,
        "growth": most / first - 1,
    }


def repeated_captions(folder: Path, count: int, batch_size: int) -> CocoCaptions:
    """The embedded captions over and over, under new ids."""
    texts = [one["caption"] for one in json.loads(Path(annotations_file()).read_text())["annotations"]]
    images = [{"id": index} for index in range(1, count + 1)]
    annotations = [{"id": one["id"], "image_id": one["id"], "caption": texts[one["id"] % len(texts)]} for one in images]
    path = folder / "captions.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return CocoCaptions(str(path), batch_size=batch_size)


def to_markdown(found: dict[str, Any]) -> str:
    """The figures as a table."""
    own, two, much = found["machinery"], found["processes"], found["memory"]
    rows = [
        (f"images/s of `fdplug predict` over a bare loop, {name}", f"{100 * own[name]['share']:.1f} %", "at least 97 %")
        for name in ("plain", "propagated")
    ]
    rows += [
        ("images/s of two processes over one, one thread each", f"{two['ratio']:.2f}", "at least 1.7"),
        (
            f"growth of resident memory over {much['captions']} captions",
            f"{100 * much['growth']:.1f} %",
            "less than 5 %",
        ),
    ]
    table = "".join(f"| {what} | {figure} | {target} |\n" for what, figure, target in rows)
    return f"| | measured | target |\n|---|---|---|\n{table}\n{found['created']}, {summary(found['hardware'])}.\n"


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--captions", type=int, default=96, help="for the first two figures")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3, help="of one process and two")
    parser.add_argument("--long", type=int, default=2000, help="captions for the memory")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sizes = (given.captions, given.batch_size, given.steps)
        found = {
            **provenance("cpu"),
            "machinery": machinery(folder, *sizes),
            "processes": processes(folder, *sizes, given.rounds),
            "memory": memory(folder, given.long, 16, 2),
        }
    (RESULTS / "predict_throughput.json").write_text(json.dumps(found, indent=2) + "\n")
    (RESULTS / "predict_throughput.md").write_text(to_markdown(found))
    print(to_markdown(found))


if __name__ == "__main__":
    main()
