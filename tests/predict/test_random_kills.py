"""Killed at random moments, again and again, every command ends as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import time
from functools import partial

import pytest

from fdplug.commands import compare, optimize, tune
from fdplug.optimization import optimizer
from fdplug.optimization.measuring.records import Records
from fdplug.predict import CocoCaptions, LogFidelity
from fdplug.presets import load
from tests.commands.test_optimize import PRICES
from tests.optimization.conftest import few_samplers
from tests.predict.conftest import document, written
from tests.predict.killing import run_for
from tests.predict.predicting import check_whole, numbers, predict, records

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("FDPLUG_KILLS", "50"))
"""How often each command is killed."""


def killed(action, times, fresh, check, seed=0, after_kill=lambda folder: None):
    """Kill a command `times` times at random moments; go on in the same folder until it ends, then begin a new one.

    Args:
        action: runs the command in a folder.
        times: how often to kill.
        fresh: returns a new folder.
        check: looks at a folder in which the command came to its end.
        seed: of the moments.
        after_kill: looks at a folder in which the command has just been killed.
    """
    moments = random.Random(seed)
    action(fresh())  # what is imported only once is there from now on
    started = time.monotonic()
    assert not run_for(partial(action, fresh()), math.inf)
    duration = time.monotonic() - started
    kills = ends = 0
    folder = fresh()
    while kills < times:
        if run_for(partial(action, folder), moments.uniform(0, 0.8 * duration)):
            kills += 1
            after_kill(folder)
            continue
        check(folder)
        ends += 1
        folder = fresh()
    action(folder)
    check(folder)
    print(f"{kills} kills, {ends + 1} runs came to their end; {duration:.2f} s without a kill")


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


def hashes(folder, pattern="*.png"):
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob(pattern)}
    assert found
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def parts(folder):
    return [path for path in folder.rglob("*") if ".part" in path.name or ".rank" in path.name]


def captions(whole):
    data = CocoCaptions(str(whole / "captions.json"))
    data.setup()
    return data.captions


def test_predict_survives_kills(model, whole, fresh):
    def check(folder):
        assert hashes(folder) == hashes(whole / "out")
        assert records(folder) == records(whole / "out")
        assert numbers(folder) == numbers(whole / "out")
        check_whole(folder, captions(whole))

    killed(lambda folder: drawn(model, whole, folder), KILLS, fresh, check)


def test_two_ranks_survive_being_killed_together(model, whole, fresh):
    reference = fresh()
    drawn(model, whole, reference, ranks=2)

    def check(folder):
        assert hashes(folder) == hashes(reference)
        assert numbers(folder) == numbers(reference)

    killed(lambda folder: drawn(model, whole, folder, ranks=2), KILLS, fresh, check)


def test_compare_survives_kills(model, whole, fresh):
    plain = ["--clip-model", "none", "--feature-changes", "0", "--batch-size", "2", "--limit", "4"]
    fast = "{name: fast, sampler: ddim, steps: 4, propagation: {policy: {uniform: {interval: 2}}}}"

    def run(folder):
        options = ["--model", model, "--annotations", str(whole / "captions.json"), "--out", str(folder)]
        assert compare.main([*options, *plain, "--variants", "ddim-4", fast]) == 0

    def rows(folder):
        timed = ("seconds", "speedup", "memory", "rounds")
        found = json.loads((folder / "results.json").read_text())["variants"]
        return [{key: one[key] for key in one if not any(word in key for word in timed)} for one in found]

    def check(folder):
        assert hashes(folder, "images/*/*.png") == hashes(reference, "images/*/*.png")
        assert records(folder) == records(reference)
        assert rows(folder) == rows(reference)
        assert not parts(folder)

    reference = fresh()
    run(reference)
    killed(run, KILLS, fresh, check)


def test_tune_is_written_whole_or_not_at_all(model, whole, fresh):
    def run(folder):
        folder.mkdir(exist_ok=True)
        options = ["--model", model, "--annotations", str(whole / "captions.json"), "--limit", "2", "--steps", "4"]
        assert tune.main([*options, "--key-steps", "2", "--responses", "0", "--out", str(folder / "tuned.json")]) == 0

    def check(folder):
        assert hashes(folder, "tuned.json") == hashes(reference, "tuned.json")

    def after_kill(folder):
        assert not (folder / "tuned.json").exists() or check(folder) is None

    reference = fresh()
    run(reference)
    killed(run, KILLS, fresh, check, after_kill=after_kill)


def test_optimize_answers_the_same_however_often_it_is_killed(model, fresh, tmp_path, monkeypatch):
    """What was measured before a kill is not measured again, and comes out the same.

    All batches take as long: which candidate is the slower one would be chance, in a network that is this small.
    """
    few_samplers(monkeypatch)
    keep = Records.keep
    monkeypatch.setattr(Records, "keep", lambda self, one, ids, values, seconds: keep(self, one, ids, values, 0.01))
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

    def measured(folder):
        lines = map(json.loads, (folder / "fast.work" / "measurements.jsonl").read_text().splitlines())
        found = [
            ((line["candidate"], one), {name: numbers[place] for name, numbers in line["values"].items()})
            for line in lines
            if "candidate" in line
            for place, one in enumerate(line["ids"])
        ]
        assert len(dict(found)) == len(found), "measured twice"
        return dict(found)

    def check(folder):
        assert answered(folder) == answered(reference)
        once, now = measured(reference), measured(folder)
        both = once.keys() & now.keys()
        assert both
        assert {key: now[key] for key in both} == {key: once[key] for key in both}
        assert not parts(folder)

    reference = fresh()
    run(reference)
    killed(run, KILLS, fresh, check)
