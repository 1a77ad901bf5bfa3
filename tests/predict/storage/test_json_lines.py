"""Records that survive a crash."""

from __future__ import annotations

import errno
import json
import os

import pytest

from fdplug.errors import OutputError
from fdplug.predict.storage.json_lines import JsonLines, read_json_lines


def test_records_are_read_back_in_order(tmp_path):
    lines = JsonLines(tmp_path / "x.jsonl")
    texts = ["plain", "two\nlines", "\u2028 \x00 \ud800", '"' + "y" * 10_000]
    for text in texts:
        lines.append({"text": text})
    lines.close()
    assert [record["text"] for record in read_json_lines(tmp_path / "x.jsonl")] == texts
    assert not list(read_json_lines(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_line_that_was_cut_anywhere_is_left_out_and_does_not_spoil_the_next(tmp_path, cut):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n' + b'{"abc": 1234}\n'[:cut])
    JsonLines(path).append({"a": 3})
    read = list(read_json_lines(path))
    assert read[0] == {"a": 1}
    assert read[-1] == {"a": 3}
    assert len(read) == (3 if cut >= 13 else 2)


def test_a_line_of_which_any_byte_has_changed_is_left_out(tmp_path):
    """Or says what it said: a checksum whose name is another counts as none."""
    path, record = tmp_path / "x.jsonl", {"seconds": 1.25, "text": "a \u00e9", "ids": [3, 4]}
    JsonLines(path).append(record)
    whole = path.read_bytes()
    end = len(json.dumps(record, ensure_ascii=False).encode()) - 1
    for place in range(len(whole)):
        for bit in range(8):
            harmed = bytearray(whole)
            harmed[place] ^= 1 << bit
            path.write_bytes(bytes(harmed))
            read = [{key: one.get(key) for key in record} for one in read_json_lines(path)]
            assert read == [] or (read == [record] and place >= end), bytes(harmed)


def test_a_line_of_somebody_else_needs_no_checksum_and_none_that_does_not_fit(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"a": 2, "crc32": "00000000"}\n{"a": 3, "crc32": "x"}\n')
    assert list(read_json_lines(tmp_path / "x.jsonl")) == [{"a": 1}]
    assert list(read_json_lines(tmp_path / "x.jsonl", ours=True)) == []


def test_what_is_no_object_is_left_out(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'[1]\nnull\n\xff\xfe\n{"a": 1}\n' + b"[" * 100_000)
    assert list(read_json_lines(path)) == [{"a": 1}]


def test_a_full_disk_is_an_error_and_the_file_can_be_used_later(tmp_path, monkeypatch):
    lines, original, full = JsonLines(tmp_path / "x.jsonl"), os.write, [False]

    def write(file, data):
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        full[0] = len(data) > 20
        return original(file, data[:20])

    lines.append({"a": 1})
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OutputError, match=r"cannot write .*x.jsonl: No space left on device"):
        lines.append({"a": "b" * 100})
    monkeypatch.undo()
    lines.close()
    JsonLines(tmp_path / "x.jsonl").append({"a": 2})
    assert list(read_json_lines(tmp_path / "x.jsonl")) == [{"a": 1}, {"a": 2}]
