"""Write every generated image as a PNG named by its id, and the manifest from which an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import BasePredictionWriter

from fdplug.checks import check_choice
from fdplug.errors import ConfigError
from fdplug.files.films import need_films
from fdplug.predict.data.subset import selection_hash
from fdplug.predict.generation.beyond_settings import beyond_settings
from fdplug.predict.lightning.distributed import die_with_launcher, first_decides, over_ranks
from fdplug.predict.storage.coding import COPIES
from fdplug.predict.storage.image_store import ImageStore
from fdplug.predict.storage.run_folder import METRICS, SETTINGS, RunFolder
from fdplug.profiling.provenance import provenance

if TYPE_CHECKING:
    from fdplug.predict.data.captions import Caption
    from fdplug.predict.lightning.prediction import Prediction
    from fdplug.predict.storage.manifest import ManifestEntry


class ImageWriter(BasePredictionWriter):
    """Writes `<folder>/<image id, 12 digits>.png` and a line of the manifest as soon as a batch is done.

    A video is an animated PNG of all its frames, without loss, with a copy for other programs beside it; a sound is a
    WAV.

    A run that was killed goes on where it was, if nothing that decides the images has changed.

    Args:
        folder: where the images go; made if it is missing.
        overwrite: begin anew where the folder holds an earlier run; its images are removed.
        videos: the copy beside a video: `gif`, or `mp4`, which needs `pip install 'fdplug[video]'`.

    Raises:
        ConfigError: there is no such copy, or a package is missing for it.
    """

    def __init__(self, folder: str = "outputs/predict", overwrite: bool = False, videos: str = "gif") -> None:
        super().__init__(write_interval="batch")
        self.folder = Path(folder)
        self.overwrite = overwrite
        check_choice("writer.videos", videos, tuple(COPIES))
        self.videos = videos
        if videos == "mp4":
            need_films("writer.videos mp4")
        self.entries: list[ManifestEntry] = []
        self.generated = 0
        self.store = ImageStore(self.folder, copy=videos)
        self._run = RunFolder(folder, "name another with --writer.folder")

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Find out before any model is loaded whether the run may begin or go on here.

        Raises:
            ConfigError: the folder cannot be written, another run is at work there, or it holds other images.
        """
        super().setup(trainer, pl_module, stage)
        die_with_launcher(trainer)
        self.store = ImageStore(self.folder, trainer.global_rank, self.videos)
        self.generated = 0
        first_decides(trainer, lambda: self._begin(trainer, pl_module))

    def check(self, settings: dict[str, Any], others: dict[str, Any] | None = None) -> None:
        """Refuse settings and circumstances that the folder was not begun with; nothing is written.

        Raises:
            ConfigError: names each difference.
        """
        if not self.overwrite:
            self._run.check("settings", settings)
            self._run.check("circumstances", others or {})

    def _begin(self, trainer: Any, pl_module: Any) -> None:
        self._run.open()
        if self.overwrite:
            self._clear()
        else:
            captions = trainer.datamodule.captions if trainer.datamodule else None
            _check_captions(self._run, self.store.entries, captions)
        self._run.keep("settings", pl_module.settings(trainer.strategy.root_device))
        self._run.keep("circumstances", circumstances(trainer, pl_module))
        if trainer.datamodule and any(caption.inputs for caption in trainer.datamodule.captions):
            self._run.keep("captions", {"selection": selection_hash(trainer.datamodule.captions)})
        self._run.note("begun", provenance(trainer.strategy.root_device))
        self.store.merge()

    def _clear(self) -> None:
        self.store.clear()
        for name in (SETTINGS, METRICS):
            (self.folder / name).unlink(missing_ok=True)

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """Make sure that the weights are those that the run was begun with.

        Raises:
            ConfigError: they are not.
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
            OutputError: the disk is full, or the folder cannot be written any more.
        """
        for one in prediction.generated:
            self.store.write(one)
            self.generated += 1

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Make one manifest of those of all processes."""
        self.store.close()
        trainer.strategy.barrier("manifest")
        if trainer.is_global_zero:
            self.entries = self.store.merge()
            self._run.close()
        self.generated = int(over_ranks(trainer, self.generated))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Let another run go on here."""
        self.store.close()
        self._run.close()


def circumstances(trainer: Any, pl_module: Any) -> dict[str, Any]:
    """What decides the images beside the settings of the module; see `beyond_settings`."""
    generation = pl_module.generation
    return beyond_settings(generation.sampler, pl_module.propagation, trainer, generation.stages)


def image_store(trainer: Any) -> ImageStore | None:
    """Return the store of the trainer's `ImageWriter`; None where no images are kept."""
    return next((one.store for one in trainer.callbacks if isinstance(one, ImageWriter)), None)


def _check_captions(run: RunFolder, entries: Iterable[ManifestEntry], captions: Sequence[Caption] | None) -> None:
    """Refuse a folder that holds images of other captions, or images that nothing is known of.

    Raises:
        ConfigError: names the first.
    """
    remedy = f"add --overwrite, or {run.advice}"
    if not run.begun and any(run.path.glob("*.png")):
        raise ConfigError(
            f"the folder {run.path} holds images, but no {SETTINGS} says how they were generated; {remedy}"
        )
    if captions is None:
        return
    texts = {caption.image_id: caption.text for caption in captions}
    for entry in entries:
        if texts.get(entry.id) != entry.caption:
            now = f"now it is {texts[entry.id]!r:.80}" if entry.id in texts else "which is not asked for now"
            raise ConfigError(
                f"the folder {run.path} holds image {entry.id} of the caption {entry.caption!r:.80}, {now}; {remedy}"
            )
