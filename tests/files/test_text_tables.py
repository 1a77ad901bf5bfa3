"""Tables as text: nothing is cut off, whatever the width, and nothing is wider than the terminal."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

from fdplug.commands import families
from fdplug.files.text_tables import markdown_table, plain_table, table_lines, terminal_width

HEAD = ("name", "steps", "what it is")
BODY = [("paper", "9", "the key steps of the paper, picked by hand"), ("uniform", "13", "every fourth step")]


def words(text):
    return sorted(text.split())


def test_a_table_without_a_width_has_a_line_for_each_row():
    assert plain_table(HEAD, BODY).split("\n") == [
        "name     steps  what it is",
        "paper    9      the key steps of the paper, picked by hand",
        "uniform  13     every fourth step",
    ]


def test_numbers_are_aligned_right_and_heads_stand_at_the_bottom():
    lines = table_lines(("a", "key\nsteps"), [("x", "9"), ("long", "13")], right=(1,))
    assert [line.text for line in lines] == ["        key", "a     steps", "x         9", "long     13"]
    assert [line.row for line in lines] == [None, None, 0, 1]


def test_the_widest_column_wraps_first():
    assert plain_table(HEAD, BODY, 40).split("\n") == [
        "name     steps  what it is",
        "paper    9      the key steps of the",
        "                paper, picked by hand",
        "uniform  13     every fourth step",
    ]


@pytest.mark.parametrize("width", [*range(24, 80), 200, None])
def test_every_width_holds_every_word(width):
    lines = plain_table(HEAD, BODY, width).split("\n")
    assert width is None or max(map(len, lines)) <= width
    missing = [word for row in (HEAD, *BODY) for cell in row for word in cell.split() if word not in " ".join(lines)]
    assert not missing


def test_columns_that_do_not_fit_go_below_with_the_first_one_again():
    head, body = (
        ("variant", *(f"score{number}" for number in range(9))),
        [("ddim", *"123456789"), ("dpm", *"abcdefghi")],
    )
    lines = table_lines(head, body, 34, right=range(1, 10))
    assert max(len(line.text) for line in lines) <= 34
    assert [line.text.split() for line in lines if line.row == 1] == [
        list(one)
        for one in (
            ["dpm", "a", "b", "c"],
            ["dpm", "d", "e", "f"],
            ["dpm", "g", "h", "i"],
        )
    ]
    assert sum(line.text == "" for line in lines) == 2


def test_long_words_are_broken_and_not_lost():
    (_, *found) = plain_table(("a", "b"), [("x", "y" * 50)], 24).split("\n")
    assert "".join(found).replace(" ", "") == "x" + "y" * 50


def test_a_table_is_as_wide_as_columns_says_or_a_hundred_in_a_pipe(monkeypatch):
    monkeypatch.setenv("COLUMNS", "66")
    assert terminal_width() == 66
    done = piped("from fdplug.files.text_tables import terminal_width; print(terminal_width())")
    assert done == "100\n"


def piped(code):
    """Run Python whose output goes into a pipe, where nothing says how wide it is; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_columns_below_each_other_are_wrapped_no_more_than_their_block_needs():
    text = " ".join(["text"] * 7)
    lines = plain_table(("name", "a", "b"), [("n", "x" * 30, text)], 40).split("\n")
    assert lines == ["name  a", f"n     {'x' * 30}", "", "name  b", f"n     {text}"]


def test_a_column_that_begins_a_block_does_so_only_where_not_all_fit():
    head, body = ("name", "a", "b", "c"), [("n", "1", "22", "333")]
    assert [line.text for line in table_lines(head, body, 17, right=(1, 2, 3), apart=(2,))] == [
        "name  a   b    c",
        "n     1  22  333",
    ]
    assert [line.text for line in table_lines(head, body, 14, right=(1, 2, 3), apart=(2,))] == [
        "name  a",
        "n     1",
        "",
        "name   b    c",
        "n     22  333",
    ]


def test_markdown():
    assert markdown_table(("a", "n"), [("x|y", "1")], right=(1,)) == "| a | n |\n|---|---:|\n| x\\|y | 1 |"


def on_a_terminal(columns, *arguments):
    """Run a command on a terminal of this width; return what it prints."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "fdplug", *arguments]
    with subprocess.Popen(command, stdout=theirs, env={**os.environ, "COLUMNS": str(columns)}) as running:
        os.close(theirs)
        parts = []
        with contextlib.suppress(OSError):  # Linux says so when the other end is closed
            while part := os.read(ours, 1 << 16):
                parts.append(part)
        os.close(ours)
    assert running.returncode == 0
    return b"".join(parts).decode()


def test_the_families_fit_the_terminal_and_a_pipe():
    narrow = on_a_terminal(90, "families")
    assert max(map(len, narrow.splitlines())) <= 90
    whole = piped("from fdplug.commands import families; families.main([])")
    assert max(map(len, whole.splitlines())) <= 100
    assert f"{len(families.rows())} systems passed " in whole
    for row in families.rows():
        assert row["pipeline"] in whole
        assert row["pipeline"] in narrow


def test_a_word_is_not_cut_where_columns_can_go_below_each_other():
    lines = plain_table(["variant", *"abcdef"], [["dpm-solver++-16", *["0.123456"] * 6]], 40).splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert sum("dpm-solver++-16" in line for line in lines) > 1
