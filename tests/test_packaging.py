"""The wheel holds everything that a user needs, and works outside of the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LARGEST = 30_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel built from the tree, unpacked."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = out / "unpacked"
    (file,) = out.glob("*.whl")
    assert file.stat().st_size <= LARGEST
    zipfile.ZipFile(file).extractall(folder)
    return folder


def test_the_wheel_holds_weights_configs_and_types(wheel):
    assert (wheel / "fdplug" / "py.typed").exists()
    assert {file.name for file in (wheel / "fdplug" / "commands" / "configs").glob("*.yaml")} >= {
        "shapes-ddim50.yaml",
        "shapes-ddim50-faster.yaml",
        "sd15-ddim50-faster.yaml",
    }
    assert {file.suffix for file in (wheel / "fdplug" / "report" / "page").iterdir()} == {".j2", ".css", ".js"}
    assert (wheel / "fdplug" / "suites" / "data" / "table5.yaml").exists()
    assert list((wheel / "fdplug" / "shapes").rglob("unet/*.safetensors"))
    assert list((wheel / "fdplug" / "shapes").rglob("transformer/*.safetensors"))
    assert list((wheel / "fdplug" / "shapes").rglob("controlnet/*.safetensors"))
    assert not [file for file in (wheel / "fdplug" / "shapes").rglob("*") if "train" in file.name]
    assert not [file for file in wheel.rglob("*") if file.suffix in {".pt", ".bin", ".pkl", ".ckpt"}]


def test_the_wheel_works_outside_of_the_repository(wheel, tmp_path):
    """One image of the embedded model, from a folder that knows nothing of the source tree."""
    code = (
        "import fdplug, sys; assert fdplug.__file__.startswith(sys.argv[1]), fdplug.__file__; "
        "from diffusers import StableDiffusionPipeline; from fdplug import shapes; "
        "pipe = StableDiffusionPipeline.from_pretrained(shapes.pipeline_folder(), safety_checker=None); "
        "handle = fdplug.propagate(pipe); "
        "image = pipe('a small plain red circle on a gray background', num_inference_steps=10).images[0]; "
        "assert image.size == (64, 64), image.size; assert handle.ledger.key_steps"
    )
    environment = {**os.environ, "PYTHONPATH": str(wheel), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(wheel)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
