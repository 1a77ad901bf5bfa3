"""The rounds of a comparison on disk: images in the manifest, everything else in `rounds.jsonl`.

A comparison that was killed goes on with the first batch of a variant that is missing here, or whose images are not the
ones that were written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fdplug.files.writing import write_bytes
from fdplug.predict.data.seeds import seed_of
from fdplug.predict.generation.generate import GenerationOutput, per_image, total
from fdplug.predict.storage.atomic import encode_png
from fdplug.predict.storage.json_lines import JsonLines, read_json_lines
from fdplug.predict.storage.manifest import (
    NOT_A_NUMBER,
    OK,
    Entry,
    ManifestPart,
    merge_manifest,
    read_image,
    read_manifest,
    sha256,
)

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug.predict.comparison.batch_plan import Round
    from fdplug.predict.comparison.variant import Variant
    from fdplug.predict.comparison.variant_run import Trial
    from fdplug.predict.data.captions import Caption

ROUNDS = "rounds.jsonl"


class Rounds:
    """What every variant drew in every round.

    Args:
        folder: Where the images of a variant are: `images/<variant>/<image id, 12 digits>.png`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lines = JsonLines(folder / ROUNDS)
        self._facts = {
            (str(line.get("variant")), line.get("round")): line["facts"]
            for line in read_json_lines(folder / ROUNDS)
            if isinstance(line.get("facts"), dict)
        }
        merge_manifest(folder)
        self._entries = read_manifest(folder)
        self._part = ManifestPart(folder)

    def read(self, trial: Trial, number: int, one: Round) -> GenerationOutput | None:
        """What an earlier run drew; None if that is still to be done. Its measurements go to the trial."""
        facts = self._facts.get((trial.variant.name, number))
        if facts is None:
            return None
        if not one.keep:
            trial.restore(facts)
            return GenerationOutput(
                images=_blank(one), whole=torch.ones(len(one.captions), dtype=torch.bool), seconds=0, denoiser_seconds=0
            )
        done = self._images(trial.variant, one)
        if done is not None:
            trial.restore(facts)
        return done

    def write(self, trial: Trial, number: int, one: Round, done: GenerationOutput) -> None:
        """Keep what a variant has just drawn.

        Raises:
            OutputError: The disk is full, or the folder cannot be written any more.
        """
        if one.keep:
            for caption, image, whole in zip(one.captions, done.images, done.whole, strict=True):
                self._part.append(self._written(trial, caption, image if whole else None, done))
        facts = trial.facts(one.timed)
        self._lines.append({"variant": trial.variant.name, "round": number, "facts": facts})

    def close(self) -> None:
        """Make one manifest; nothing more is written."""
        self._lines.close()
        self._part.close()
        merge_manifest(self.folder)

    def _written(self, trial: Trial, caption: Caption, image: Tensor | None, done: GenerationOutput) -> Entry:
        name, digest = None, None
        if image is not None:
            data = encode_png(image)
            name, digest = image_file(trial.variant, caption), sha256(data)
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(data, self.folder / name)
        count = len(done.images)
        return Entry(
            id=caption.image_id,
            caption=caption.text,
            seed=seed_of(trial.generation.seed, caption.image_id),
            variant=trial.variant.name,
            status=NOT_A_NUMBER if image is None else OK,
            file=name,
            sha256=digest,
            seconds=done.seconds / count,
            denoiser_seconds=per_image(done.denoiser_seconds, count),
            gflops=trial.gflops.get("full"),
            key_steps=len(trial.key_steps),
        )

    def _images(self, variant: Variant, one: Round) -> GenerationOutput | None:
        """The images of a round, black where they hold not-a-number; None if one is missing."""
        entries = [self._entries.get((variant.name, caption.image_id)) for caption in one.captions]
        images = [None if entry is None else read_image(self.folder, entry) for entry in entries]
        found = [image for image in images if image is not None]
        black = torch.zeros_like(found[0]) if found else torch.zeros(3, 8, 8, dtype=torch.uint8)
        for entry, image in zip(entries, images, strict=True):
            if entry is None or (image is None and entry.status == OK):
                return None
        return GenerationOutput(
            images=torch.stack([black if image is None else image for image in images]),
            whole=torch.tensor([image is not None for image in images]),
            seconds=sum(entry.seconds for entry in entries if entry is not None),
            denoiser_seconds=total(entry.denoiser_seconds for entry in entries if entry is not None),
        )


def image_file(variant: Variant, caption: Caption) -> str:
    """Where an image lies inside the folder."""
    return f"images/{variant.slug}/{caption.output_name}"


def _blank(one: Round) -> Tensor:
    return torch.zeros(len(one.captions), 3, 8, 8, dtype=torch.uint8)
