"""Several processes generate the same as one: every caption once, also very few, also after one of them was killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from torch.multiprocessing.spawn import ProcessExitedException

from fdplug.errors import ConfigError
from fdplug.predict import CocoCaptions, LogFidelity
from fdplug.predict.lightning import distributed as launch
from tests.predict.conftest import document, opened, written
from tests.predict.killing import run_until
from tests.predict.predicting import check_whole, content, numbers, predict


@pytest.fixture(scope="module")
def one(model, tmp_path_factory):
    """A run of one process, its baseline, and the annotation file."""
    folder = tmp_path_factory.mktemp("one")
    annotations = written(folder, document())
    predict(model, annotations, folder / "plain", steps=2, propagation=None)
    _generate(model, folder, folder / "out")
    return folder


def _generate(model, one, out, ranks=1, limit=None):
    """Generate with so many forked processes on gloo."""
    engine = {"devices": ranks, "strategy": "ddp_fork"} if ranks > 1 else {}
    data = CocoCaptions(str(one / "captions.json"), limit=limit, batch_size=2)
    return predict(model, None, out, [LogFidelity(str(one / "plain"))], data=data, trainer=engine, steps=2)


def _check_equal(out, one, count):
    expected = dict(sorted(content(one / "out").items())[:count])
    assert set(content(out)) == set(expected)
    for name in expected:
        assert abs(opened(out / name).astype(int) - opened(one / "out" / name)).max() <= 1
    check_whole(out, [SimpleNamespace(image_id=7 * index + 3) for index in range(count)])
    assert numbers(out)["images"] == count


def test_two_processes_generate_and_score_what_one_does(model, one, tmp_path):
    _generate(model, one, tmp_path, ranks=2)
    _check_equal(tmp_path, one, 5)
    values, expected = numbers(tmp_path), numbers(one / "out")
    assert values.keys() == expected.keys()
    assert values["psnr"] == pytest.approx(expected["psnr"], rel=1e-4)
    assert values["gflops_per_image"] == pytest.approx(expected["gflops_per_image"])


@pytest.mark.parametrize(("ranks", "limit"), [(1, 0), (2, 0), (3, 2)])
def test_few_captions_are_no_trouble(model, one, tmp_path, ranks, limit):
    _generate(model, one, tmp_path, ranks, limit)
    _check_equal(tmp_path, one, limit)
    if not limit:
        assert numbers(tmp_path) == {"images": 0, "images_not_a_number": 0}


@pytest.mark.parametrize(("before", "after"), [(1, 2), pytest.param(2, 1, marks=pytest.mark.slow)])
def test_a_run_goes_on_with_more_or_fewer_processes(model, one, tmp_path, before, after):
    if before == 1:
        assert run_until(lambda: _generate(model, one, tmp_path), 20)
    else:
        _generate(model, one, tmp_path, before, limit=3)
    left = content(tmp_path)
    assert 0 < len(left) < 5
    _generate(model, one, tmp_path, after)
    assert left.items() <= content(tmp_path).items()
    _check_equal(tmp_path, one, 5)


def test_one_process_of_two_is_killed(model, one, tmp_path, monkeypatch):
    from fdplug.predict.generation import generate

    original = generate.call_pipeline

    def call(pipe, captions, generation):
        if captions[0].image_id == 17:  # the second process's batch
            os.kill(os.getpid(), signal.SIGKILL)
        return original(pipe, captions, generation)

    with monkeypatch.context() as patched:
        patched.setattr(generate, "call_pipeline", call)
        with pytest.raises(ProcessExitedException, match="SIGKILL"):
            _generate(model, one, tmp_path, ranks=2)
    assert len(content(tmp_path)) < 5
    _generate(model, one, tmp_path, ranks=2)
    _check_equal(tmp_path, one, 5)


def test_what_the_first_process_refuses_all_refuse(model, one, tmp_path):
    _generate(model, one, tmp_path, limit=3)
    with pytest.raises(Exception, match=r"the folder .* was begun with other settings: steps 2 -> 3"):
        predict(model, str(one / "captions.json"), tmp_path, trainer={"devices": 2, "strategy": "ddp_fork"}, steps=3)


TORCHRUN = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "RANK": "1"}
SRUN = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2", "SLURM_JOB_NAME": "generate"}


@pytest.mark.parametrize(
    ("environment", "devices", "nodes", "told"),
    [
        (TORCHRUN, 1, 1, r"torchrun started 4 .* is 1 x 1; give --trainer.devices 2 --trainer.num_nodes 2 .*ddp"),
        (TORCHRUN, 4, 2, r"torchrun started 4 .* is 4 x 2"),
        (SRUN, 1, 1, r"srun started 8 .* is 1 x 1; give --trainer.devices 4 --trainer.num_nodes 2"),
    ],
)
def test_processes_that_do_not_add_up_are_refused(environment, devices, nodes, told):
    with pytest.raises(ConfigError, match=told):
        launch.check_launch(SimpleNamespace(num_devices=devices, num_nodes=nodes), environment)


@pytest.mark.parametrize(
    ("environment", "devices", "nodes"),
    [({}, 4, 1), (TORCHRUN, 2, 2), (SRUN, 4, 2), ({**SRUN, "SLURM_JOB_NAME": "bash"}, 1, 1)],
)
def test_processes_that_add_up_are_not(environment, devices, nodes):
    launch.check_launch(SimpleNamespace(num_devices=devices, num_nodes=nodes), environment)


@pytest.mark.parametrize(
    ("rank", "environment", "watched"), [(0, {}, False), (1, {}, True), (0, {"TORCHELASTIC_RUN_ID": "x"}, True)]
)
def test_a_process_ends_with_the_one_that_launched_it(monkeypatch, rank, environment, watched):
    ended = threading.Event()
    parents = iter([1, 1])
    monkeypatch.setattr(launch, "os", SimpleNamespace(getppid=lambda: next(parents, 2), _exit=lambda code: ended.set()))
    monkeypatch.setattr(launch, "time", SimpleNamespace(sleep=lambda seconds: time.sleep(0.001)))
    launch.die_with_launcher(SimpleNamespace(local_rank=rank), environment)
    assert ended.wait(2 if watched else 0.1) is watched
