"""COCO captions as a Lightning data module."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from fdplug import checks
from fdplug.predict.batches import Batch, caption_loader
from fdplug.predict.captions import SHAPES, Caption, read_captions
from fdplug.predict.references import ReferenceImages


class CocoCaptions(LightningDataModule):
    """Captions of a file in the form of COCO's `captions_val2017.json`, one per image.

    The rule: of each image the caption with the lowest annotation id, stripped; images in the order of their ids.

    Args:
        annotations: Path of the json file, or `shapes` for the held-out captions of the embedded model.
        images: Folder of the real images, for scores that need them; every `file_name` must be there.
        limit: Take the first so many images only.
        batch_size: Images per pipeline call.
    """

    def __init__(
        self,
        annotations: str = SHAPES,
        images: str | None = None,
        limit: int | None = None,
        batch_size: int = 8,
    ) -> None:
        super().__init__()
        if limit is not None:
            checks.whole("limit", limit, 0)
        self.annotations = annotations
        self.images = None if images is None else Path(images)
        self.limit = limit
        self.batch_size = checks.whole("batch_size", batch_size, 1)
        self.captions: list[Caption] = []
        self._all: list[Caption] = []

    def setup(self, stage: str | None = None) -> None:
        """Read and check the annotation file and the image folder."""
        self._all = read_captions(self.annotations)
        self.captions = self._all[: self.limit]
        if self.images is not None:
            self.references()

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Batches are lists of `Caption`; see `caption_loader`."""
        return caption_loader(self.captions, self.batch_size, self.trainer.world_size if self.trainer else 1)

    def references(self) -> ReferenceImages:
        """The real images of the whole annotation file, whatever `limit` is: files of `images`, or drawn scenes."""
        return ReferenceImages(self._all, self.images)
