"""Killed at random moments, again and again, every command ends as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import random
import time
from functools import partial

import pytest

from fdplug.commands import compare, optimize, tune
from fdplug.optimization import optimizer
from fdplug.predict import CocoCaptions, LogFidelity
from fdplug.presets import load
from tests.commands.test_optimize import PRICES
from tests.optimization.conftest import few_samplers
from tests.predict.conftest import document, written
from tests.predict.killing import run_for
from tests.predict.predicting import check_whole, content, numbers, predict, records

pytestmark = pytest.mark.slow


def killed(action, times, fresh, check, seed=0):
    """Kill a command `times` times at random moments; go on in the same folder until it ends, then begin a new one.

    Args:
        action: runs the command in a folder.
        times: how often to kill.
        fresh: returns a new folder.
        check: looks at a folder in which the command came to its end.
        seed: of the moments.
    """
    moments = random.Random(seed)
    started = time.monotonic()
    action(fresh())
    duration = time.monotonic() - started
    kills = ends = 0
    folder = fresh()
    while kills < times:
        if run_for(partial(action, folder), moments.uniform(0, 0.8 * duration)):
            kills += 1
            continue
        check(folder)
        ends += 1
        folder = fresh()
    action(folder)
    check(folder)
    return ends


@pytest.fixture
def fresh(tmp_path):
    """A function that names a new folder at each call."""
    count = iter(range(10_000))
    return lambda: tmp_path / f"run-{next(count)}"


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """Folders of an uninterrupted run and of its baseline, and the annotation file."""
    folder = tmp_path_factory.mktemp("whole")
    annotations = written(folder, document())
    predict(model, annotations, folder / "plain", steps=2, propagation=None)
    drawn(model, folder, folder / "out")
    return folder


def drawn(model, whole, out, ranks=1):
    engine = {"devices": ranks, "strategy": "ddp_fork"} if ranks > 1 else {}
    data = CocoCaptions(str(whole / "captions.json"), batch_size=2)
    return predict(model, None, out, [LogFidelity(str(whole / "plain"))], data=data, trainer=engine, steps=2)


def hashes(folder):
    return {name: hashlib.sha256(data).hexdigest() for name, data in content(folder).items()}


def captions(whole):
    data = CocoCaptions(str(whole / "captions.json"))
    data.setup()
    return data.captions


def test_predict_survives_fifty_kills(model, whole, fresh):
    def check(folder):
        assert hashes(folder) == hashes(whole / "out")
        assert records(folder) == records(whole / "out")
        assert numbers(folder) == numbers(whole / "out")
        check_whole(folder, captions(whole))

    killed(lambda folder: drawn(model, whole, folder), 50, fresh, check)


def test_two_ranks_survive_being_killed_together(model, whole, fresh):
    reference = fresh()
    drawn(model, whole, reference, ranks=2)

    def check(folder):
        assert hashes(folder) == hashes(reference)
        assert numbers(folder) == numbers(reference)

    killed(lambda folder: drawn(model, whole, folder, ranks=2), 8, fresh, check)


def test_compare_survives_fifteen_kills(model, whole, fresh):
    plain = ["--clip-model", "none", "--feature-changes", "0", "--batch-size", "2", "--limit", "4"]
    fast = "{name: fast, sampler: ddim, steps: 4, propagation: {policy: {uniform: {interval: 2}}}}"

    def run(folder):
        options = ["--model", model, "--annotations", str(whole / "captions.json"), "--out", str(folder)]
        assert compare.main([*options, *plain, "--variants", "ddim-4", fast]) == 0

    def images(folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("images/*/*.png")}

    reference = fresh()
    run(reference)
    killed(run, 15, fresh, lambda folder: pytest.fail("other images") if images(folder) != images(reference) else None)


def test_tune_is_written_whole_or_not_at_all(model, whole, fresh):
    def run(folder):
        folder.mkdir(exist_ok=True)
        options = ["--model", model, "--annotations", str(whole / "captions.json"), "--limit", "2", "--steps", "4"]
        assert tune.main([*options, "--key-steps", "2", "--responses", "0", "--out", str(folder / "tuned.json")]) == 0

    reference = fresh()
    run(reference)
    expected = json.loads((reference / "tuned.json").read_text())
    killed(run, 8, fresh, lambda folder: None if json.loads((folder / "tuned.json").read_text()) == expected else 1 / 0)


def test_optimize_answers_the_same_however_often_it_is_killed(model, fresh, tmp_path, monkeypatch):
    """What was measured before a kill is not measured again, and nothing of it is lost or doubled."""
    few_samplers(monkeypatch)
    monkeypatch.setattr(optimizer, "measured", lambda *given, **more: PRICES)
    prompts = tmp_path / "mine.txt"
    prompts.write_text("a red circle\na blue square\ngreen\nsmall\na\nred on gray\n")
    options = ["--model", model, "--scores", "none", "--prompts", str(prompts), "--steps", "4", "--batch-size", "2"]

    def run(folder):
        folder.mkdir(exist_ok=True)
        wanted = ["--trials", "2", "--budget", "2calls", "--out", str(folder / "fast.yaml")]
        assert optimize.main([*options, *wanted]) == 0

    def answered(folder):
        preset = load(folder / "fast.yaml")
        return preset.settings, preset.evidence, preset.figures.get("calls")

    def check(folder):
        assert answered(folder) == expected

    reference = fresh()
    run(reference)
    expected = answered(reference)
    killed(run, 10, fresh, check)
