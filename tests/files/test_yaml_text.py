"""Tricks of YAML: what is read is what is written, to every reader, or it is refused in one line."""

from __future__ import annotations

import pytest

from fdplug.commands import ready_configs
from fdplug.errors import ConfigError
from fdplug.files.yaml_text import parse_yaml

LEVEL = "&{0} [*{1}, *{1}, *{1}, *{1}, *{1}, *{1}, *{1}, *{1}]"
LEVELS = [LEVEL.format(*pair) for pair in ("ba", "cb", "dc", "ed", "fe", "gf")]
BOMB = "\n".join(["a: &a [x, x, x, x, x, x, x, x]", *(f"{one[1]}: {one}" for one in LEVELS)])
REFUSED = {
    BOMB: "aliases make more than",
    "a: &a [*a]": "aliases make more than",
    "&a\n<<: *a": "aliases make more than",
    "a: *b": "found undefined alias",
    "a: !!python/object/apply:os.system [ls]": "could not determine a constructor",
    "!!python/name:os.system ''": "could not determine a constructor",
    "a: !mine 3": "could not determine a constructor",
    "a: !!binary aGk=": "could not determine a constructor",
    "a: !!set {1, 2}": "could not determine a constructor",
    "a: !!timestamp 2020-01-01": "could not determine a constructor",
    "a: !!omap [b: 1]": "could not determine a constructor",
    "a: !!int many": "a value that is not what its tag says",
    "a: !!bool maybe": "a value that is not what its tag says",
    "a: 1\n'a': 2": "the key 'a' appears twice",
    "<<: 3": "expected a mapping or list of mappings for merging",
    "? [a]\n: 1": "found unhashable key",
    "a:\n\t- 1": r"found character '\\t' that cannot start any token",
    "a: b\0": "unacceptable character #x0000",
    "a: \x1b[2J": "unacceptable character #x001b",
    "a: 1\n---\na: 2": "found another document",
    "[" * 5000: "nested more than 64 levels deep",
    "{a: " * 300: "nested more than 64 levels deep",
    "a: 010": "'010' is another number to other readers; write it plainly, or in quotes",
    "a: -07": "'-07' is another number",
    "a: 12:30": "'12:30' is another number",
    "a: " + "9" * 5000: "a number of 5,000 digits",
    "a: [1": "expected ',' or ']'",
    "a: @b": "cannot start any token",
    "%YAML 9.9\n---\na: 1": "found incompatible YAML document",
}
READ = {
    "a: &x {b: 1}\nc: {<<: *x, d: 2}": {"a": {"b": 1}, "c": {"b": 1, "d": 2}},
    "{a: 2020-01-01, b: 12:30:00.5}": {"a": "2020-01-01", "b": "12:30:00.5"},
    "{a: '010', b: 0, c: 0x10, d: 1_000, e: 1e-3, f: 089}": {
        **{"a": "010", "b": 0, "c": 16, "d": 1000},
        **{"e": 0.001, "f": "089"},
    },
    "a: 1\r\nb: 2": {"a": 1, "b": 2},
    "---\na: 1\n...": {"a": 1},
    "": None,
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=lambda text: text[:30])
def test_what_one_would_not_expect_is_refused(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "value"), READ.items(), ids=lambda text: str(text)[:30])
def test_what_is_plain_is_read(text, value):
    assert parse_yaml(text) == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it holds None, settings by name are needed"),
        (b"5", "it holds 5, settings by name are needed"),
        (b"- model", r"it holds \['model'\], settings by name are needed"),
        (b"model: {yes: 1}", "True names no setting, a text does, in quotes if need be"),
        (b"1: a", "1 names no setting"),
        (b"model: {~: 3}", "None names no setting"),
        ("model: {steps: 4}".encode("utf-16"), r"it is no text in UTF-8 \(invalid start byte at byte 0\)"),
        (b"model: \xe9", "it is no text in UTF-8"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_a_configuration_that_is_none_is_refused(content, message, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{message}.*; give a YAML file such as"):
        ready_configs.find(str(path))


def test_a_mark_of_the_order_of_bytes_is_passed_over(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xef\xbb\xbfmodel: {steps: 4}")
    assert ready_configs.find(str(path)) == str(path)
