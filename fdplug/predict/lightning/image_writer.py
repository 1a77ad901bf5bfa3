"""Write every generated image as a PNG named by its id, and the manifest from which an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import BasePredictionWriter

from fdplug.errors import ConfigError, OutputError
from fdplug.files.writing import write_bytes
from fdplug.predict.data.seeds import seed_of
from fdplug.predict.generation.beyond_settings import beyond_settings
from fdplug.predict.lightning.distributed import die_with_launcher, first_decides, over_ranks
from fdplug.predict.lightning.prediction import Drawn, Earlier, Prediction
from fdplug.predict.storage.atomic import encode_png
from fdplug.predict.storage.manifest import (
    NOT_A_NUMBER,
    OK,
    Entry,
    ManifestPart,
    clear_manifest,
    merge_manifest,
    read_manifest,
    sha256,
)
from fdplug.predict.storage.run_folder import METRICS, SETTINGS, RunFolder
from fdplug.profiling.provenance import provenance

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption


class ImageWriter(BasePredictionWriter):
    """Writes `<folder>/<image id, 12 digits>.png` and a line of the manifest as soon as a batch is done.

    A run that was killed goes on where it was, if nothing that decides the images has changed.

    Args:
        folder: Where the images go; made if it is missing.
        overwrite: Begin anew where the folder holds an earlier run; its images are removed.
    """

    def __init__(self, folder: str = "outputs/predict", overwrite: bool = False) -> None:
        super().__init__(write_interval="batch")
        self.folder = Path(folder)
        self.overwrite = overwrite
        self.entries: list[Entry] = []
        self.drawn = 0
        self._run = RunFolder(folder, "name another with --writer.folder")
        self._part = ManifestPart(self.folder)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Find out before any model is loaded whether the run may begin or go on here.

        Raises:
            ConfigError: The folder cannot be written, another run is at work there, or it holds other images.
        """
        super().setup(trainer, pl_module, stage)
        die_with_launcher(trainer)
        first_decides(trainer, lambda: self._begin(trainer, pl_module))
        entries = read_manifest(self.folder).values()
        pl_module.earlier = Earlier(self.folder, {entry.id: entry for entry in entries})
        self._part = ManifestPart(self.folder, trainer.global_rank)
        self.drawn = 0

    def check(self, settings: dict[str, Any], others: dict[str, Any] | None = None) -> None:
        """Refuse settings and circumstances that the folder was not begun with; nothing is written.

        Raises:
            ConfigError: Names each difference.
        """
        if not self.overwrite:
            self._run.check("settings", settings)
            self._run.check("circumstances", others or {})

    def _begin(self, trainer: Any, pl_module: Any) -> None:
        self._run.open()
        if self.overwrite:
            self._clear()
        else:
            _check_captions(self._run, trainer.datamodule.captions if trainer.datamodule else None)
        self._run.keep("settings", pl_module.settings(trainer.strategy.root_device))
        self._run.keep("circumstances", circumstances(trainer, pl_module))
        self._run.note("begun", provenance(trainer.strategy.root_device))
        merge_manifest(self.folder)

    def _clear(self) -> None:
        clear_manifest(self.folder)
        for name in (SETTINGS, METRICS):
            (self.folder / name).unlink(missing_ok=True)

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """Make sure that the weights are those that the run was begun with.

        Raises:
            ConfigError: They are not.
        """
        first_decides(trainer, lambda: self._run.keep("weights", pl_module.weights()))

    def write_on_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        prediction: Prediction,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write what is new in a batch.

        Raises:
            OutputError: The disk is full, or the folder cannot be written any more.
        """
        for one in prediction.drawn:
            try:
                self._part.append(self._written(one, pl_module))
            except OutputError as error:
                raise OutputError(
                    f"{error}; what is listed in the manifest is safe: run the same command again"
                ) from error
            self.drawn += 1

    def _written(self, one: Drawn, pl_module: Any) -> Entry:
        """Write an image, and return its entry."""
        name, digest = None, None
        if one.image is not None:
            data = encode_png(one.image)
            name, digest = one.caption.output_name, sha256(data)
            write_bytes(data, self.folder / name)
        return Entry(
            id=one.caption.image_id,
            caption=one.caption.text,
            seed=seed_of(pl_module.generation.seed, one.caption.image_id),
            variant=pl_module.variant,
            status=NOT_A_NUMBER if one.image is None else OK,
            file=name,
            sha256=digest,
            seconds=one.seconds,
            denoiser_seconds=one.denoiser_seconds,
            gflops=one.gflops,
            key_steps=one.key_steps,
        )

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Make one manifest of those of all processes."""
        self._part.close()
        trainer.strategy.barrier("manifest")
        if trainer.is_global_zero:
            self.entries = merge_manifest(self.folder)
            self._run.close()
        self.drawn = int(over_ranks(trainer, self.drawn))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Let another run go on here."""
        self._part.close()
        self._run.close()


def circumstances(trainer: Any, pl_module: Any) -> dict[str, Any]:
    """What decides the images beside the settings of the module; see `beyond_settings`."""
    return beyond_settings(pl_module.generation.sampler, pl_module.propagation, trainer)


def _check_captions(run: RunFolder, captions: Sequence[Caption] | None) -> None:
    """Refuse a folder that holds images of other captions, or images that nothing is known of.

    Raises:
        ConfigError: Names the first.
    """
    remedy = f"add --overwrite, or {run.advice}."
    if not run.begun and any(run.path.glob("*.png")):
        raise ConfigError(f"the folder {run.path} holds images, but no {SETTINGS} says how they were drawn; {remedy}")
    if captions is None:
        return
    texts = {caption.image_id: caption.text for caption in captions}
    for entry in read_manifest(run.path).values():
        if texts.get(entry.id) != entry.caption:
            now = f"now it is {texts[entry.id]!r:.80}" if entry.id in texts else "which is not asked for now"
            raise ConfigError(
                f"the folder {run.path} holds image {entry.id} of the caption {entry.caption!r:.80}, {now}; {remedy}"
            )
