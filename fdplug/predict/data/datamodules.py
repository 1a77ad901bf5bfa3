"""What to generate images of, as Lightning data modules: each yields batches of `Caption`."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from fdplug import checks
from fdplug.checks import check_choice
from fdplug.errors import DataError
from fdplug.files.source import is_folder
from fdplug.predict.data.batches import Batch, caption_loader
from fdplug.predict.data.captions import PICKS, SHAPES, Caption, read_captions
from fdplug.predict.data.class_labels import class_captions, read_class_names
from fdplug.predict.data.inputs import read_inputs, with_inputs
from fdplug.predict.data.prompts import read_parti, read_prompts
from fdplug.predict.data.references import ReferenceImages
from fdplug.predict.data.subset import Selection, selection_hash


class Captions(LightningDataModule):
    """Base of the data modules: reads captions, chooses a subset, and hands out batches.

    Args:
        limit: at most so many captions.
        ids: a file with the ids to take: one per line, or a json list.
        subset_seed: take `limit` captions at random instead of the first.
        batch_size: images per pipeline call.
        inputs: pictures to begin from, for image to image, ControlNet and image to video: a folder with one for each
            caption, named as its image or its id, or a mapping of the pipeline's arguments to folders, such as
            `{image: FOLDER, mask_image: FOLDER}`.
    """

    def __init__(
        self,
        limit: int | None = None,
        ids: str | None = None,
        subset_seed: int | None = None,
        batch_size: int = 8,
        inputs: str | dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.inputs = read_inputs(inputs)
        self.selection = Selection(limit=limit, ids=ids, seed=subset_seed)
        self.batch_size = checks.whole("batch_size", batch_size, 1)
        self.captions: list[Caption] = []
        self.available: list[Caption] = []

    @abstractmethod
    def read(self) -> list[Caption]:
        """All captions there are."""

    def setup(self, stage: str | None = None) -> None:
        """Read and check the files, and say what was selected."""
        self.available = self.read()
        self.captions = with_inputs(self.selection.of(self.available), self.folders())
        self._announce()

    def folders(self) -> dict[str, str]:
        """Return the folders of pictures to begin from, by the argument that takes them."""
        return self.inputs

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Batches are lists of `Caption`; see `caption_loader`."""
        return caption_loader(self.captions, self.batch_size, self.trainer.world_size if self.trainer else 1)

    def references(self) -> ReferenceImages:
        """The real images to compare with."""
        name = type(self).__name__
        raise DataError(f"{name} has no real images; give the metric a `reference`: a folder, or a file of statistics")

    @property
    def selection_hash(self) -> str:
        """Equal in two runs of the same captions under the same ids."""
        return selection_hash(self.captions)

    @rank_zero_only
    def _announce(self) -> None:
        count = f"{len(self.captions)} of {len(self.available)} captions"
        print(f"{type(self).__name__}: {count}, selection {self.selection_hash}", flush=True)


class CocoCaptions(Captions):
    """Captions of a file in the form of COCO's `captions_val2017.json`, of 2014 or 2017, one or all per image.

    The rule: of each image the caption with the lowest annotation id, stripped; images in the order of their ids.

    Args:
        annotations: path of the json file, or `shapes` or `shapes-flow` for the held-out captions of that model; if
            left out, those of `shapes`, and on the command line those of the model that runs.
        real_images: folder of the real images, for scores that need them; every `file_name` must be there.
        pick: which captions of an image: `first`, `random`, or `all`; with `all` an image is named by the id of its
            annotation.
        pick_seed: seed of `random`.
        subset: `limit`, `ids`, `subset_seed`, `batch_size` and `inputs`, as in `Captions`.
    """

    def __init__(
        self,
        annotations: str | None = None,
        real_images: str | None = None,
        pick: str = "first",
        pick_seed: int = 0,
        **subset: Any,
    ) -> None:
        super().__init__(**subset)
        check_choice("pick", pick, PICKS)
        self.annotations = SHAPES if annotations is None else annotations
        self.real_images = None if real_images is None else Path(real_images)
        self.pick = pick
        self.pick_seed = checks.whole("pick_seed", pick_seed, 0)

    def read(self) -> list[Caption]:
        return read_captions(self.annotations, pick=self.pick, pick_seed=self.pick_seed)

    def setup(self, stage: str | None = None) -> None:
        """Read and check the annotation file and the image folder."""
        super().setup(stage)
        if self.real_images is not None:
            self.references()

    def references(self) -> ReferenceImages:
        """The real images of the whole annotation file, whatever is generated: `real_images`, or drawn scenes."""
        one_each = {caption.file_name or repr(caption.scene): caption for caption in reversed(self.available)}
        return ReferenceImages(list(one_each.values())[::-1], self.real_images)


class PartiPrompts(Captions):
    """The prompts of google-research/parti's `PartiPrompts.tsv`; the id of a prompt is the number of its row, from 0.

    Args:
        prompts: path of the tsv file, with the columns Prompt, Category, Challenge and Note.
        category: only prompts of this category, such as `Animals`.
        challenge: only prompts of this challenge, such as `Fine-grained Detail`.
        subset: `limit`, `ids`, `subset_seed`, `batch_size` and `inputs`, as in `Captions`.
    """

    def __init__(self, prompts: str, category: str | None = None, challenge: str | None = None, **subset: Any) -> None:
        super().__init__(**subset)
        self.prompts, self.category, self.challenge = prompts, category, challenge

    def read(self) -> list[Caption]:
        return read_parti(self.prompts, self.category, self.challenge)


class PromptFile(Captions):
    """Prompts of a file: `.txt` (one per line), `.jsonl`, `.csv`, `.tsv` or `.parquet`.

    Args:
        prompts: path of the file.
        column: where the prompts stand, except in `.txt`.
        id_column: where ids stand (whole numbers); without it prompts are numbered from 0.
        subset: `limit`, `ids`, `subset_seed`, `batch_size` and `inputs`, as in `Captions`; what is no folder among the
            inputs is a column of the file, with paths relative to it.
    """

    def __init__(self, prompts: str, column: str = "prompt", id_column: str | None = None, **subset: Any) -> None:
        super().__init__(**subset)
        self.prompts, self.column, self.id_column = prompts, column, id_column

    def read(self) -> list[Caption]:
        columns = {name: place for name, place in self.inputs.items() if not is_folder(Path(place))}
        return read_prompts(self.prompts, self.column, self.id_column, columns)

    def folders(self) -> dict[str, str]:
        """Return the folders of pictures to begin from; the others are columns."""
        return {name: place for name, place in self.inputs.items() if is_folder(Path(place))}


class ClassLabels(Captions):
    """Classes for class-conditional models such as DiT; the id of an image is `round * num_classes + class`.

    Args:
        classes: numbers, or names where `names` is given; all classes if left out.
        per_class: images of each class.
        names: what classes are called: a json object of number -> name, a text file with one name per line, or the
            folder of a pipeline whose `model_index.json` has an `id2label`.
        num_classes: how many classes the model knows.
        subset: `limit`, `ids`, `subset_seed`, `batch_size` and `inputs`, as in `Captions`.
    """

    def __init__(
        self,
        classes: list[int | str] | None = None,
        per_class: int = 1,
        names: str | None = None,
        num_classes: int = 1000,
        **subset: Any,
    ) -> None:
        super().__init__(**subset)
        self.classes, self.per_class, self.names, self.num_classes = classes, per_class, names, num_classes

    def read(self) -> list[Caption]:
        names = {} if self.names is None else read_class_names(self.names)
        return class_captions(self.classes, names, self.num_classes, self.per_class)


class Samples(Captions):
    """So many images of a model that takes neither prompts nor classes; their ids count from 0.

    Args:
        count: how many.
        subset: `limit`, `ids`, `subset_seed`, `batch_size` and `inputs`, as in `Captions`.
    """

    def __init__(self, count: int = 64, **subset: Any) -> None:
        super().__init__(**subset)
        self.count = checks.whole("count", count, 1)

    def read(self) -> list[Caption]:
        return [Caption(number, "") for number in range(self.count)]
