"""A span divided over two processes: the same image as in one, the same on both, each doing its share."""

from __future__ import annotations

import pytest
import torch
import torch.multiprocessing

import fdplug
from fdplug.errors import ConfigError
from fdplug.propagation.split import checksum, portions

from .reference import propagate
from .split_workers import (
    CASES,
    COMPILED,
    KEYS,
    POLICY,
    RANKS,
    STEPS,
    measured,
    stable_diffusion,
    work,
    work_compiled,
)

ROW = 4 * 8 * 8 * 4  # bytes of one prediction of the tiny model
STAMP = 8
TOLERANCE = 1e-4  # what decoding in other batches may change, of latents around 10
BEGIN = 5 * STAMP  # what is compared when a run begins


def started(function, folder):
    """Run a function in every process; return what each got."""
    torch.multiprocessing.start_processes(function, (str(folder),), nprocs=RANKS, start_method="spawn")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(RANKS)]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """What each process got, and the complaint of the one that outlived the other."""
    folder = tmp_path_factory.mktemp("split")
    return started(work, folder), torch.load(folder / "death.pt")


@pytest.mark.parametrize("case", CASES)
def test_all_processes_hold_the_image_of_one(outcome, case):
    is_the_image_of_one(outcome[0], case, CASES)


@pytest.mark.slow
def test_all_processes_hold_the_image_of_one_with_compiled_blocks(tmp_path):
    is_the_image_of_one(started(work_compiled, tmp_path), "compiled", COMPILED)


def is_the_image_of_one(results, case, cases):
    make, settings = cases[case]
    alone = measured(*make(), decoding="parallel", **settings)
    first, second = (result[case] for result in results)
    assert torch.equal(first["latents"], second["latents"])
    torch.testing.assert_close(first["latents"], alone["latents"], atol=TOLERANCE, rtol=1e-4)
    assert first["key_steps"] == second["key_steps"] == alone["key_steps"]
    assert first["steps"] == second["steps"] == alone["steps"]


def test_the_image_is_that_of_a_plain_loop(outcome):
    pipe, _ = stable_diffusion()
    expected = propagate(pipe, ["a red circle"], STEPS, KEYS, guidance=7.5, alpha=0.003)
    torch.testing.assert_close(outcome[0][0]["guided"]["latents"], expected, atol=TOLERANCE, rtol=1e-4)


@pytest.mark.parametrize(
    ("case", "encoded", "decoded", "most"),
    [
        ("guided", 6, (9, 9), (1, 3, 5)),  # 2, 6 and 10 rows
        ("unguided", 3, (1 + 2 + 3, 1 + 1 + 2), (1, 2, 3)),  # 1, 3 and 5 rows: the single row is decoded by both
        ("three images", 18, (27, 27), (3, 9, 15)),  # 6, 18 and 30 rows
        ("short spans", 6, (9, 9), (1, 2, 1, 2, 2, 1)),  # no more than 2 rows each: spans of 1, 2+1 and 2+2+1 steps
        ("every step a key step", 18, (9, 9), (1,) * 9),
    ],
)
def test_each_does_its_share_and_receives_the_rest(outcome, case, encoded, decoded, most):
    """By hand: rows of the encoder, rows of the decoder, and the bytes of the largest portion of every call."""
    for result, own in zip(outcome[0], decoded, strict=True):
        assert result[case]["rows"] == result[case]["seen"] == (encoded, own)
        assert result[case]["received"] == BEGIN + sum(STAMP + rows * ROW for rows in most)


def test_gflops_are_those_of_the_share(outcome):
    """Two runs in one process tell what a row of the encoder and a row of the decoder cost."""
    pipe, run = stable_diffusion()
    every = measured(pipe, run, policy="all", injector="none")["ledger"].gflops()
    some = measured(pipe, run)["ledger"].gflops()
    encoder = (every - some) / (2 * STEPS - 2 * len(KEYS))
    decoder = every / (2 * STEPS) - encoder
    for result in outcome[0]:
        assert result["guided"]["gflops"] == pytest.approx(6 * encoder + 9 * decoder)
    assert sum(result["guided"]["gflops"] for result in outcome[0]) == pytest.approx(some + 6 * encoder)


def test_undo_is_exact(outcome):
    assert [result["undone"] for result in outcome[0]] == [True, True]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("noise", "differ in: noise. Every one"),
        ("steps", "differ in: timesteps"),
        ("prompt", "differ in: prompts and other inputs. Every one"),
        ("size", "differ in: settings, noise"),
        ("alpha", "differ in: settings. Every one"),
        ("keys", "differ in: settings. Every one"),
        ("weights", "differ in: weights"),
        ("random", "have come apart"),
    ],
)
def test_processes_that_differ_are_told_so(outcome, what, message):
    for result in outcome[0]:
        assert result["disagreements"][what].startswith("PropagationError")
        assert message in result["disagreements"][what]


def test_a_disagreement_leaves_nothing_behind(outcome):
    assert [result["disagreements"]["agreement"] for result in outcome[0]] == ["none", "none"]


def test_what_cannot_be_divided_is_refused(outcome):
    for result in outcome[0]:
        assert "every prediction depends on the sample" in result["refusals"]["part"]
        assert "give a number of rows per process" in result["refusals"]["budget"]


def test_a_group_of_one_is_the_ordinary_run(outcome):
    first, second = (result["refusals"]["alone"] for result in outcome[0])
    pipe, run = stable_diffusion()
    assert torch.equal(first["latents"], measured(pipe, run, policy=POLICY)["latents"])
    assert first["received"] == 0
    assert "process 1 does not belong to the group" in second


def test_the_death_of_one_is_an_error_for_the_other(outcome):
    assert outcome[1].startswith("PropagationError: process 0 of 2 got no answer from the others")


def test_without_a_group_it_is_said_what_to_do():
    with pytest.raises(ConfigError, match=r"call torch\.distributed\.init_process_group\(\) first"):
        fdplug.split_decode()


@pytest.mark.parametrize(("rows", "ranks"), [(1, 1), (1, 4), (3, 2), (10, 4), (30, 8), (16, 16)])
def test_portions_are_even_and_leave_no_row_out(rows, ranks):
    shares = portions(rows, ranks)
    assert [row for share in shares for row in share] == list(range(rows))
    assert len(shares) == ranks
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_checksums_tell_tensors_apart():
    one = torch.arange(12.0)
    others = [one.flip(0), one + 1e-6, one.double(), one[:11], -one]
    assert len({int(checksum([tensor])) for tensor in [one, *others]}) == 6
    assert int(checksum([one, others[0]])) != int(checksum([others[0], one]))
    assert int(checksum([one.clone()])) == int(checksum([one]))
