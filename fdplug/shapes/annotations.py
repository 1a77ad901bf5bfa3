"""The annotation files: 1,000 captions each in COCO's form, with the scene behind each reference picture.

``python -m fdplug.shapes.annotations`` writes them again, byte by byte the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fdplug.shapes import CLASSES, FLOW, annotations_file
from fdplug.shapes.drawing import SIZE, draw
from fdplug.shapes.scene import (
    CLASS_WORLD,
    FLOW_WORLD,
    WHOLE_WORLD,
    Scene,
    World,
    held_out,
    random_scene,
    training_scene,
)

COUNT = 1000
NUM_CLASSES = 200
SEED = 2017
WORLDS = {"shapes": WHOLE_WORLD, FLOW: FLOW_WORLD}
"""What the captions of each embedded model are about; `shapes-controlnet` has those of `shapes`."""
_HELD_OUT, _CLASSES = "held-out captions of procedurally drawn scenes", "classes of one object, written out as captions"
_INFO = {
    "version": "2.0",
    "note": "draw the reference image of a record with fdplug.shapes.drawing.draw(Scene.from_dict(record['scene']))",
}
_LICENSES = [{"id": 1, "name": "Apache License 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}]


@dataclass(frozen=True)
class Reference:
    """One held-out record: its image id, its caption and the scene of its reference picture."""

    id: int
    caption: str
    scene: Scene

    def image(self) -> npt.NDArray[np.uint8]:
        """The reference picture, (64, 64, 3)."""
        return draw(self.scene)


def held_out_scenes(count: int = COUNT, seed: int = SEED, world: World = WHOLE_WORLD) -> list[Scene]:
    """`count` scenes of `world` with different held-out captions, in a fixed order."""
    rng = np.random.default_rng(seed)
    scenes: dict[str, Scene] = {}
    while len(scenes) < count:
        scene = random_scene(rng, world)
        if held_out(scene.caption):
            scenes.setdefault(scene.caption, scene)
    return list(scenes.values())


def class_scenes(count: int = COUNT, seed: int = SEED) -> list[Scene]:
    """`count` scenes of one object that training could show, every class as often: all classes once, then again.

    A class is everything that a caption of `shapes-flow` says about one object and its background: 2 fills, 20 pairs of
    colour and shape, 5 backgrounds; 200 classes, in an order without rule.
    """
    rng = np.random.default_rng(seed)
    scenes: dict[str, list[Scene]] = {}
    rounds = -(-count // NUM_CLASSES)
    while len(scenes) < NUM_CLASSES or min(map(len, scenes.values())) < rounds:
        scene = training_scene(rng, CLASS_WORLD)
        scenes.setdefault(scene.caption, []).append(scene)
    return [found[one] for one in range(rounds) for found in scenes.values()][:count]


def coco_record(scenes: list[Scene], what: str = _HELD_OUT) -> dict[str, Any]:
    """The COCO record of `scenes`, which says what they are; ids count from 1."""
    images = [
        {
            "id": number,
            "file_name": f"{number:012d}.png",
            "height": SIZE,
            "width": SIZE,
            "license": 1,
            "scene": s.to_dict(),
        }
        for number, s in enumerate(scenes, start=1)
    ]
    captions = [{"id": i, "image_id": i, "caption": scene.caption} for i, scene in enumerate(scenes, start=1)]
    info = {"description": f"fdplug shapes: {what}", **_INFO}
    return {"info": info, "licenses": _LICENSES, "images": images, "annotations": captions}


def references(path: Path | None = None) -> list[Reference]:
    """The records of an annotation file (the package's by default) in the order of their image ids."""
    record = json.loads((annotations_file() if path is None else path).read_text())
    captions = {note["image_id"]: note["caption"] for note in record["annotations"]}
    images = sorted(record["images"], key=lambda image: image["id"])
    return [Reference(image["id"], captions[image["id"]], Scene.from_dict(image["scene"])) for image in images]


def write_annotations(path: Path, scenes: list[Scene], what: str = _HELD_OUT) -> None:
    """Write the annotation file of `scenes`, one record per line."""
    record = coco_record(scenes, what)
    lines = {
        key: "[\n" + ",\n".join(json.dumps(row) for row in record[key]) + "\n]" for key in ("images", "annotations")
    }
    head = f'"info": {json.dumps(record["info"])},\n"licenses": {json.dumps(record["licenses"])}'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{\n{head},\n"images": {lines["images"]},\n"annotations": {lines["annotations"]}\n}}\n')


if __name__ == "__main__":
    for model, world in WORLDS.items():
        write_annotations(annotations_file(model), held_out_scenes(world=world))
    write_annotations(annotations_file(CLASSES), class_scenes(), _CLASSES)
