"""The demo in the browser: started by its one command, and asked as a browser asks it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("gradio") is None, reason="gradio is not installed: pip install 'fdplug[demo]'"),
]
APP = Path(__file__).parents[2] / "examples" / "space" / "app.py"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where the demo runs."""
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(APP)]
    folder = tmp_path_factory.mktemp("demo")
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as running:
        told = ""
        for line in running.stdout:
            told += line
            if "public link" in line:  # the last line: gradio has looked whether the address answers
                break
        found = re.search(r"http://127\.0\.0\.1:\d+", told)
        assert found is not None, f"the demo ended before it had an address: {told}"
        yield found[0]
        running.terminate()


def ask(address, *given):
    """What the page's button gives for these inputs."""
    place = f"{address}/gradio_api/call/compare"
    sent = json.dumps({"data": given}).encode()
    with urllib.request.urlopen(urllib.request.Request(place, sent, {"Content-Type": "application/json"})) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{place}/{event}") as answer:
        told = answer.read().decode()
    assert "event: complete" in told, told
    return json.loads(told.rpartition("data: ")[2])


def picture(held):
    with urllib.request.urlopen(held["url"]) as answer:
        return Image.open(io.BytesIO(answer.read())).convert("RGB")


def test_the_demo_shows_three_pictures_and_their_ledgers(address):
    method = "trunk: all but the output head is replayed"
    *held, ledger = ask(address, "a small plain red circle on a gray background", 12, 4.0, 4, method)
    pictures = [picture(one) for one in held]
    assert [one.size for one in pictures] == [(256, 256)] * 3
    assert len({one.tobytes() for one in pictures}) == 3
    assert ledger.count("<svg") == 3
    assert ledger.count('fill="#0b5cad"') == 50 + 12 + 12, "steps that were computed"
    assert ledger.count('fill="#98a2b3"') == 50 - 12, "steps that were replayed"
    gflops = [float(one) for one in re.findall(r"([\d.]+) GFLOPs", ledger)]
    assert gflops[0] > 3 * gflops[1]
    assert gflops[1] == pytest.approx(gflops[2], rel=0.05), "the budget is the same"
