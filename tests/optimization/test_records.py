"""What is measured is kept: after a kill in the middle of a line, too, and for the same search only."""

from __future__ import annotations

import json

import pytest

from fdplug.errors import ConfigError
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.measuring.records import Records
from fdplug.predict.storage.json_lines import encoded

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
    ],
)
def test_a_record_of_another_form_is_measured_again(line, tmp_path):
    Records(tmp_path, {"seed": 0}).close()
    with (tmp_path / "measurements.jsonl").open("ab") as file:
        file.write(encoded(json.loads(line.replace('"x"', json.dumps(ONE.key)))))
    again = Records(tmp_path, {"seed": 0})
    assert again.missing(ONE, [1, 2]) == [1, 2]
    assert not again.failures
    assert set(again.facts) == {"request"}
    again.close()


GIVEN = {"candidate": ONE.key, "ids": [1], "values": {"psnr": [30.0]}, "seconds": 1.0}


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(GIVEN).encode(),
        encoded(GIVEN).replace(b"30.0", b"40.0"),
        encoded(GIVEN).replace(b'"crc32"', b'"crc33"'),
        encoded(GIVEN)[:-3] + encoded(GIVEN),
        b"{}",
        b"[]",
        b"\xff",
    ],
)
def test_a_line_that_has_changed_or_was_written_by_somebody_else_is_measured_again(line, tmp_path):
    Records(tmp_path, {"seed": 0}).close()
    with (tmp_path / "measurements.jsonl").open("ab") as file:
        file.write(line.strip() + b"\n")
    again = Records(tmp_path, {"seed": 0})
    assert again.missing(ONE, [1]) == [1]
    again.close()


def test_what_was_measured_for_nobody_knows_what_is_measured_again(tmp_path):
    """Where the line that names the search is harmed, another search does not take what was measured for the first."""
    first = Records(tmp_path, {"seed": 0})
    first.keep(ONE, [1], {"psnr": [30.0]}, 1.0)
    first.close()
    path = tmp_path / "measurements.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"seed": 0', b'"seed": 9', 1))
    for _ in range(2):
        other = Records(tmp_path, {"seed": 1})
        assert other.missing(ONE, [1]) == [1]
        other.keep(OTHER, [1], {"psnr": [20.0]}, 1.0)
        other.close()
    with pytest.raises(ConfigError, match="another seed"):
        Records(tmp_path, {"seed": 0})


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
