"""The rounds of a comparison on disk: images in the manifest, everything else in `rounds.jsonl`.

A comparison that was killed goes on with the first batch of a variant that is missing here, or whose images are not the
ones that were written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fdplug.files.schema import OBJECT, TEXT, ListOf, Object, OrNone, number, whole
from fdplug.predict.generation.generate import GenerationOutput, total
from fdplug.predict.generation.generated_images import generated_images
from fdplug.predict.storage.image_store import ImageStore
from fdplug.predict.storage.json_lines import JsonLines, read_json_lines

if TYPE_CHECKING:
    from fdplug.predict.comparison.batch_plan import Round
    from fdplug.predict.comparison.variant import Variant
    from fdplug.predict.comparison.variant_run import VariantRun
    from fdplug.predict.data.captions import Caption

ROUNDS = "rounds.jsonl"


_SECONDS = OrNone(number(0))
_FACTS = Object(
    {
        "key_steps": ListOf(whole()),
        "passes": ListOf(ListOf(whole())),
        "gflops": Object(others=OrNone(number(0))),
        "denoiser_calls": OrNone(whole()),
        "timing": OrNone(
            Object(
                {"seconds": number(0), "denoiser_seconds": _SECONDS, "peak_memory_mb": OrNone(number())}, closed=True
            )
        ),
    },
    optional={"stages": ListOf(OBJECT)},
)
_ROUND = Object({"variant": TEXT, "round": whole(), "facts": _FACTS})


class Checkpoint:
    """What every variant generated in every round.

    Args:
        folder: where the images of a variant are: `images/<variant>/<image id, 12 digits>.png`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lines = JsonLines(folder / ROUNDS)
        self._facts = {
            (line["variant"], line["round"]): line["facts"] for line in read_json_lines(folder / ROUNDS, _ROUND)
        }
        self._store = ImageStore(folder)
        self._store.merge()

    def read(self, variant_run: VariantRun, number: int, one: Round) -> GenerationOutput | None:
        """Return what an earlier run generated; None if that is still to be done. The measurements go to the run."""
        facts = self._facts.get((variant_run.variant.name, number))
        if facts is None:
            return None
        if not one.keep:
            variant_run.restore(facts)
            return GenerationOutput(
                images=_BLACK.expand(len(one.captions), *_BLACK.shape),
                finite=torch.ones(len(one.captions), dtype=torch.bool),
                seconds=0,
                denoiser_seconds=0,
            )
        done = self._images(variant_run.variant, one)
        if done is not None:
            variant_run.restore(facts)
        return done

    def write(self, variant_run: VariantRun, number: int, one: Round, done: GenerationOutput) -> None:
        """Keep what a variant has just generated.

        Raises:
            OutputError: the disk is full, or the folder cannot be written any more.
        """
        if one.keep:
            self._write_images(variant_run, one, done)
        facts = variant_run.facts(one.timed)
        self._lines.append({"variant": variant_run.variant.name, "round": number, "facts": facts})

    def close(self) -> None:
        """Make one manifest; nothing more is written."""
        self._lines.close()
        self._store.close()
        self._store.merge()

    def _write_images(self, variant_run: VariantRun, one: Round, done: GenerationOutput) -> None:
        images = generated_images(
            done,
            one.captions,
            seed=variant_run.generation.seed,
            variant=variant_run.variant.name,
            gflops=variant_run.gflops.get("full"),
            key_steps=len(variant_run.key_steps),
        )
        for image in images:
            self._store.write(image, image_folder(variant_run.variant))

    def _images(self, variant: Variant, one: Round) -> GenerationOutput | None:
        """The images of a round, black where they hold not-a-number; None if one is missing."""
        found = [self._store.read(variant.name, caption.image_id) for caption in one.captions]
        done = [generated for generated in found if generated is not None]
        if len(done) < len(found):
            return None
        images = [generated.image for generated in done]
        black = next((torch.zeros_like(image) for image in images if image is not None), _BLACK)
        return GenerationOutput(
            images=torch.stack([black if image is None else image for image in images]),
            finite=torch.tensor([image is not None for image in images]),
            seconds=sum(generated.seconds for generated in done),
            denoiser_seconds=total(generated.denoiser_seconds for generated in done),
        )


def image_folder(variant: Variant) -> str:
    """Return where the images of a variant lie inside the folder."""
    return f"images/{variant.slug}"


def image_file(variant: Variant, caption: Caption) -> str:
    """Where an image lies inside the folder."""
    return f"{image_folder(variant)}/{caption.output_name}"


_BLACK = torch.zeros(3, 8, 8, dtype=torch.uint8)
