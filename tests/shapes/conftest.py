from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fdplug.shapes.scene import Scene, random_scene


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(99)
    return [random_scene(rng) for _ in range(200)]


@pytest.fixture(scope="session")
def judges() -> Any:
    from fdplug.shapes import evaluators

    return evaluators.load()
