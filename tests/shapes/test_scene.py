from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from fdplug.shapes.scene import COUNT_SHARES, Scene, Thing, random_scene

CIRCLE = Thing("small", "plain", "red", "circle", 32.0, 32.0, 7.5)


def test_random_scene_is_fixed_by_its_generator() -> None:
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    assert [random_scene(first) for _ in range(20)] == [random_scene(second) for _ in range(20)]
    assert random_scene(first) != random_scene(np.random.default_rng(4))


def test_random_scene_is_the_same_on_every_platform() -> None:
    scene = random_scene(np.random.default_rng(0))
    looks = ["a small plain red circle", "a large dotted black square", "a large plain red diamond"]
    assert scene.caption == " above ".join(looks) + " on a brown background"


def test_scene_survives_json(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene


def test_objects_stand_as_the_layout_says(scenes: list[Scene]) -> None:
    for scene in scenes:
        if scene.layout == "one":
            continue
        for first, second in pairwise(scene.things):
            gaps = {"left": second.x - first.x, "right": first.x - second.x}
            gaps |= {"above": second.y - first.y, "below": first.y - second.y}
            assert gaps[scene.layout] >= (24 if len(scene.things) == 2 else 20)
            across = first.y - second.y if scene.layout in ("left", "right") else first.x - second.x
            assert abs(across) <= 18


def test_one_two_and_three_objects_occur_as_often_as_stated() -> None:
    rng = np.random.default_rng(8)
    counts = [len(random_scene(rng).things) for _ in range(3000)]
    for count, share in enumerate(COUNT_SHARES, start=1):
        assert abs(counts.count(count) / 3000 - share) < 4 * (share * (1 - share) / 3000) ** 0.5


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (("pair", "gray", (CIRCLE,)), "layout 'pair' is unknown; choose one of one, left"),
        (("one", "pink", (CIRCLE,)), "background 'pink' is unknown"),
        (("left", "gray", (CIRCLE,)), r"layout 'left' takes 2 or 3 thing\(s\), not 1"),
        (("one", "gray", (CIRCLE, CIRCLE)), r"layout 'one' takes 1 thing\(s\), not 2"),
        (("one", "gray", (Thing("huge", "plain", "red", "circle", 0, 0, 1),)), "size 'huge' is unknown"),
        (("one", "gray", (Thing("small", "wavy", "red", "circle", 0, 0, 1),)), "fill 'wavy' is unknown"),
    ],
)
def test_impossible_scenes_are_refused(scene: tuple[str, str, tuple[Thing, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scene(*scene)


def test_a_record_without_things_is_refused() -> None:
    with pytest.raises(ValueError, match="not a scene: KeyError"):
        Scene.from_dict({"layout": "one", "background": "gray"})


def test_importing_shapes_imports_no_torch() -> None:
    probe = "import sys, fdplug.shapes, fdplug.shapes.drawing; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True, timeout=60)
