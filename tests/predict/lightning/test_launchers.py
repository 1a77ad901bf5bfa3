"""The command started by Lightning, torchrun and SLURM's variables, and killed; all in processes of their own."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from tests.predict.conftest import document, opened, written
from tests.predict.predicting import check_whole, content, numbers

pytestmark = pytest.mark.slow
COUNT = 5
TORCHRUN = ["-m", "torch.distributed.run"]
DDP = ["--trainer.strategy=ddp"]


@pytest.fixture(scope="module")
def job(model, tmp_path_factory):
    """What every command has in common, and the folder of a run of one process."""
    folder = tmp_path_factory.mktemp("job")
    annotations = written(folder, document())
    options = [f"--model.model={model}", "--model.steps=4", "--model.propagation.policy={uniform: {interval: 2}}"]
    options += [f"--data.annotations={annotations}", "--data.batch_size=2", "--trainer.accelerator=cpu"]
    _finish(_start(options, folder / "out"))
    return SimpleNamespace(options=options, out=folder / "out")


def _start(options, out, launcher=("-m", "fdplug"), **environment):
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, *launcher, "predict", f"--writer.folder={out}", *options]
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def _finish(process, code=0, timeout=400):
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == code, output
    return output


def _port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _check_equal(out, job):
    assert set(content(out)) == set(content(job.out))
    for name in content(job.out):
        assert abs(opened(out / name).astype(int) - opened(job.out / name)).max() <= 1
    check_whole(out, [SimpleNamespace(image_id=7 * index + 3) for index in range(COUNT)])
    assert numbers(out) == pytest.approx(numbers(job.out))


def test_lightning_launches_two(job, tmp_path):
    output = _finish(_start([*job.options, "--trainer.devices=2", *DDP], tmp_path / "out"))
    _check_equal(tmp_path / "out", job)
    assert output.count("Written to") == 1


def test_torchrun_launches_two(job, tmp_path):
    launcher = [*TORCHRUN, "--nproc_per_node=2", f"--master_port={_port()}", "-m", "fdplug"]
    _finish(_start([*job.options, "--trainer.devices=2", *DDP], tmp_path / "out", launcher))
    _check_equal(tmp_path / "out", job)


def test_two_nodes_of_torchrun(job, tmp_path):
    port, nodes = _port(), []
    for rank in range(2):
        launcher = [*TORCHRUN, "--nnodes=2", f"--node_rank={rank}", "--nproc_per_node=1", "--master_addr=127.0.0.1"]
        options = [*job.options, "--trainer.devices=1", "--trainer.num_nodes=2", *DDP]
        nodes.append(_start(options, tmp_path / "out", [*launcher, f"--master_port={port}", "-m", "fdplug"]))
    for node in nodes:
        _finish(node)
    _check_equal(tmp_path / "out", job)


def test_two_tasks_of_slurm(job, tmp_path):
    port, tasks = _port(), []
    for rank in range(2):
        slurm = {
            "SLURM_NTASKS": "2",
            "SLURM_JOB_NAME": "generate",
            "SLURM_JOB_ID": "1",
            "SLURM_PROCID": str(rank),
            "SLURM_LOCALID": str(rank),
            "SLURM_NODEID": "0",
            "SLURM_NTASKS_PER_NODE": "2",
            "SLURM_STEP_NUM_TASKS": "2",
            "SLURM_NODELIST": "127.0.0.1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        tasks.append(_start([*job.options, "--trainer.devices=2", *DDP], tmp_path / "out", **slurm))
    for task in tasks:
        _finish(task)
    _check_equal(tmp_path / "out", job)


def test_torchrun_with_another_number_of_devices_is_refused(job, tmp_path):
    launcher = [*TORCHRUN, "--nproc_per_node=2", f"--master_port={_port()}", "-m", "fdplug"]
    output = _finish(_start([*job.options, "--trainer.devices=1"], tmp_path / "out", launcher), code=1)
    assert output.count("torchrun started 2 processes, but trainer.devices x trainer.num_nodes is 1 x 1") == 1
    assert not content(tmp_path / "out")


def _children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(child) for child in found.stdout.split()]


@pytest.mark.parametrize("victim", ["first", "second"])
def test_a_process_of_two_is_killed_at_any_moment(job, tmp_path, victim):
    out, chance, left = tmp_path / "out", random.Random(victim), set()
    options = [*job.options, "--trainer.devices=2", *DDP, "--data.batch_size=1"]
    for wanted in (1, 3):  # images that must be there before the kill
        process = _start(options, out)
        until = time.monotonic() + 300
        while len(content(out)) < wanted and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(chance.random() / 2)
        second = _children(process.pid)
        pid = process.pid if victim == "first" else next(iter(second), process.pid)
        os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=60)
        assert left <= set(content(out))
        left = set(content(out))
    _finish(_start(options, out))
    _check_equal(out, job)
