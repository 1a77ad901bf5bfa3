from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from fdplug.shapes.scene import Scene, Thing, random_scene

CIRCLE = Thing("small", "red", "circle", 32.0, 32.0, 9.0)


def test_random_scene_is_fixed_by_its_generator() -> None:
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    assert [random_scene(first) for _ in range(20)] == [random_scene(second) for _ in range(20)]
    assert random_scene(first) != random_scene(np.random.default_rng(4))


def test_random_scene_is_the_same_on_every_platform() -> None:
    scene = random_scene(np.random.default_rng(0))
    assert scene.caption == "a small red circle above a large orange triangle on a brown background"


def test_scene_survives_json(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene


def test_objects_stand_as_the_layout_says(scenes: list[Scene]) -> None:
    for scene in scenes:
        if scene.layout == "one":
            continue
        first, second = scene.things
        gaps = {"left": second.x - first.x, "right": first.x - second.x}
        gaps |= {"above": second.y - first.y, "below": first.y - second.y}
        assert gaps[scene.layout] >= 28
        assert abs(first.x - second.x) <= 35
        assert abs(first.y - second.y) <= 35


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (("pair", "gray", (CIRCLE,)), "layout 'pair' is unknown; choose one of one, left"),
        (("one", "pink", (CIRCLE,)), "background 'pink' is unknown"),
        (("left", "gray", (CIRCLE,)), r"layout 'left' takes 2 thing\(s\), not 1"),
        (("one", "gray", (Thing("huge", "red", "circle", 0, 0, 1),)), "size 'huge' is unknown"),
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
