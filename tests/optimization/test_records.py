"""What is measured is kept: after a kill in the middle of a line, too, and for the same search only."""

from __future__ import annotations

import json

import pytest

from fdplug.errors import ConfigError
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.measuring.records import Records

ONE = Candidate("ddim", 5)
OTHER = Candidate("ddim", 5, {"policy": "paper", "cache": "reuse", "part": "encoder", "injector": "none"})


def test_everything_is_there_again(tmp_path):
    first = Records(tmp_path, {"seed": 0})
    first.keep(ONE, [3, 4], {"psnr": [30.0, 31.0]}, 2.0)
    first.keep(ONE, [5], {"psnr": [32.0]}, 5.0)
    first.fail(OTHER, "it cannot be run")
    first.note("prices", {"call": 1.0})
    first.close()
    with (tmp_path / "measurements.jsonl").open("a") as file:
        file.write('{"candidate": "x", "ids": [9')  # the process was killed here
    again = Records(tmp_path, {"seed": 0})
    assert again.missing(ONE, [3, 4, 5, 6]) == [6]
    outcome = again.outcome(ONE, [5, 3])
    assert outcome.values["psnr"].tolist() == [32.0, 30.0]
    assert again.outcome(ONE, [3, 4, 5]).seconds == [2.0], "a batch of another size is no measure of the pace"
    assert again.failures == {OTHER.key: "it cannot be run"}
    assert again.facts["prices"] == {"call": 1.0}
    again.keep(ONE, [6], {"psnr": [33.0]}, 1.0)
    again.close()
    last = Records(tmp_path, {"seed": 0})
    assert last.missing(ONE, [6]) == []
    last.close()


@pytest.mark.parametrize(
    "line",
    [
        '{"fact": [], "value": 1}',
        '{"fact": "request"}',
        '{"failed": {}, "reason": "x"}',
        '{"candidate": [1], "ids": [1], "values": {}, "seconds": 1}',
        '{"candidate": "x", "ids": 5, "values": {}, "seconds": 1}',
        '{"candidate": "x", "ids": [1, 2], "values": {"psnr": [1]}, "seconds": 1}',
        '{"candidate": "x", "ids": [1], "values": {"psnr": ["<b>"]}, "seconds": 1}',
        '{"candidate": "x", "ids": [1], "values": [], "seconds": 1}',
        '{"candidate": "x", "ids": [1], "values": {"psnr": [1]}, "seconds": "1"}',
        "{}",
        "[]",
    ],
)
def test_a_record_of_another_form_is_measured_again(line, tmp_path):
    Records(tmp_path, {"seed": 0}).close()
    with (tmp_path / "measurements.jsonl").open("a") as file:
        file.write(line.replace('"x"', json.dumps(ONE.key)) + "\n")
    again = Records(tmp_path, {"seed": 0})
    assert again.missing(ONE, [1, 2]) == [1, 2]
    assert not again.failures
    assert set(again.facts) == {"request"}
    again.close()


def test_another_search_is_refused_and_named(tmp_path):
    Records(tmp_path, {"seed": 0, "batch_size": 4}).close()
    with pytest.raises(ConfigError, match="holds a search with another seed; name another folder"):
        Records(tmp_path, {"seed": 1, "batch_size": 4})
    Records(tmp_path, {"seed": 0, "batch_size": 4}).close()


def test_two_processes_do_not_share_a_folder(tmp_path):
    first = Records(tmp_path, {})
    with pytest.raises(ConfigError, match="another process searches in"):
        Records(tmp_path, {})
    first.close()


def test_without_a_folder_all_is_kept_in_memory():
    records = Records()
    records.keep(ONE, [1], {"psnr": [30.0]}, 2.0)
    assert records.missing(ONE, [1, 2]) == [2]
    records.close()
