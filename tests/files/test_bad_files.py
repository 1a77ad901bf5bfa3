"""Every reader of a file x everything that a file can be instead: refused in one line, at once."""

import json
import os
import socket

import numpy as np
import pytest
from PIL import Image

from fdplug import registry
from fdplug.builtin.tuned import FORM as TUNED
from fdplug.builtin.tuned import TunedSchedule
from fdplug.commands.options.shared import variants
from fdplug.complexity.models import load_denoiser
from fdplug.errors import ConfigError
from fdplug.files.images import read_image
from fdplug.files.schema import ListOf, Object, OrNone, Plain
from fdplug.predict.comparison.variant import read_variants
from fdplug.predict.data.captions import read_captions
from fdplug.predict.data.class_labels import read_class_names
from fdplug.predict.data.prompts import read_parti, read_prompts
from fdplug.predict.data.subset import read_ids
from fdplug.predict.generation.loading import _refuse_code
from fdplug.predict.storage.run_folder import RunFolder
from fdplug.presets.preset import load as load_preset
from fdplug.report import forms
from fdplug.report.folder import read as read_comparison
from fdplug.report.voting.pairs import Study, read_key
from fdplug.report.voting.votes import read_votes
from fdplug.report.write import earlier_votes
from fdplug.scores.features.statistics import load_statistics
from tests.bad_inputs.refusing import refusal
from tests.report.conftest import make_folder, results

STUDY = Study((), "0" * 24)


def _npz(path):
    np.savez(path, mu=np.zeros(3), sigma=np.eye(3), count=np.array("5"))


def _png(path):
    Image.new("RGB", (8, 8)).save(path, format="PNG")


def _csv(path):
    path.write_text("prompt\na cat\n")


def _json(value):
    return lambda path: path.write_text(json.dumps(value))


def _curve(steps):
    return [{"keys": list(range(count + 1)), "error": 0.1, "gflops": 1.0} for count in range(steps)]


GOOD = {
    "captions": {"images": [{"id": 1}], "annotations": [{"id": 1, "image_id": 1, "caption": "a cat"}]},
    "tuned": {
        "format": 2,
        "model": "m",
        "denoiser": "d",
        "timesteps": [9.0, 5.0],
        "chosen": 1,
        "curve": _curve(2),
        "calibration": {},
        "noise": None,
    },
    "key": {
        "study": STUDY.digest,
        "pairs": [{"id": "q1", "index": 0, "variant": "a", "against": "b", "pictures": ["i1", "i2"]}],
    },
    "votes": {"format": forms.VOTES_FORMAT, "study": STUDY.digest, "voter": "1", "votes": []},
    "counted": {"study": STUDY.digest, "title": "t", "head": ["a"], "body": [["1"]], "values": [[1]], "notes": []},
    "run": {"settings": {"model": "shapes"}},
    "preset": {"format": 1, "about": "a", "settings": {"steps": 5}, "made_for": {"size": 64}, "evidence": "measured"},
    "denoiser": json.loads(
        '{"_class_name": "UNet2DModel", "sample_size": 8, "block_out_channels": [8], "norm_num_groups": 4,'
        ' "layers_per_block": 1, "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"]}'
    ),
}


def _compared(folder):
    return type("Compared", (), {"folder": folder})


# What reads a file: its name there, who writes a right one, who reads it.
READERS = {
    "annotations": ("a.json", _json(GOOD["captions"]), read_captions),
    "prompts.txt": ("p.txt", lambda path: path.write_text("a cat\n"), read_prompts),
    "prompts.jsonl": ("p.jsonl", _json({"prompt": "a"}), read_prompts),
    "prompts.csv": ("p.csv", _csv, read_prompts),
    "prompts.tsv": ("p.tsv", _csv, read_prompts),
    "parti": ("P.tsv", lambda path: path.write_text("Prompt\tCategory\tChallenge\tNote\na\tb\tc\t\n"), read_parti),
    "ids": ("ids", lambda path: path.write_text("1\n"), read_ids),
    "ids.json": ("ids.json", _json([1]), read_ids),
    "classes": ("c.json", _json({"0": "cat"}), read_class_names),
    "statistics.npz": ("s.npz", _npz, load_statistics),
    "image": ("i.png", _png, read_image),
    "tuned": ("t.json", _json(GOOD["tuned"]), TunedSchedule.load),
    "tuned policy": (
        "t.json",
        _json(GOOD["tuned"]),
        lambda path: registry.build("policy", {"tuned": {"file": str(path)}}),
    ),
    "variants": (
        "v.yaml",
        lambda path: path.write_text("[ddim-5]"),
        lambda path: read_variants(list(variants([str(path)]))),
    ),
    "preset": ("f.yaml", _json(GOOD["preset"]), load_preset),
    "index": ("model_index.json", _json({"_class_name": "DDPMPipeline"}), lambda path: _refuse_code(path.parent, path)),
    "denoiser": ("config.json", _json(GOOD["denoiser"]), lambda path: load_denoiser(str(path))),
    "results": ("results.json", _json(results()), lambda path: read_comparison(path.parent)),
    "key": ("vote_key.json", _json(GOOD["key"]), lambda path: read_key(path.parent)),
    "votes": ("votes-1.json", _json(GOOD["votes"]), lambda path: read_votes([path], STUDY)),
    "counted": ("votes.json", _json(GOOD["counted"]), lambda path: earlier_votes(_compared(path.parent), STUDY)),
    "run": ("run.json", _json(GOOD["run"]), lambda path: RunFolder(path.parent).check("settings", {})),
}
TEXTS = (
    "deep json",
    "deep objects",
    "closed deep json",
    "digits",
    "not a number",
    "infinite",
    "doubled key",
    "a list",
    "PostScript",
)


def _fifo(path):
    os.mkfifo(path)


def _socket(path):
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(path.parent)
        one.bind(path.name)


def _bytes(data):
    return lambda path: path.write_bytes(data)


NO_FILE = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "fifo": _fifo,
    "socket": _socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop of links": lambda path: path.symlink_to(path),
    "dangling link": lambda path: path.symlink_to(path.with_name("nowhere")),
}
NO_CONTENT = {
    "empty": _bytes(b""),
    "UTF-16": _bytes("a cat".encode("utf-16")),
    "cut off UTF-8": _bytes(b"[1, \xe2\x82"),
    "NUL": _bytes(b"\0" * 50),
    "escape": _bytes(b"\x1b[2J"),
    "deep json": _bytes(b"[" * 99_999),
    "deep objects": _bytes(b'{"a":' * 3000),
    "closed deep json": _bytes(b"[" * 500 + b"]" * 500),
    "digits": _bytes(b"[" + b"9" * 5000 + b"]"),
    "not a number": _bytes(b"[NaN]"),
    "infinite": _bytes(b"[1e999]"),
    "doubled key": _bytes(b'{"a": 1, "a": 2}'),
    "a list": _bytes(b'["\\u001b"]'),
    "zip that is none": _bytes(b"PK\x03\x04" + b"\0" * 60),
    "PostScript": _bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n"),
}


@pytest.mark.parametrize("reader", READERS)
def test_the_right_file_is_read(reader, tmp_path):
    name, good, read = READERS[reader]
    good(tmp_path / name)
    if reader == "run":
        with pytest.raises(ConfigError, match="was begun with other settings"):
            read(tmp_path / name)
    elif reader == "key":
        assert read(tmp_path / name).digest == STUDY.digest
    else:
        read(tmp_path / name)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", NO_FILE)
def test_what_is_no_regular_file_is_refused(reader, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, _, read = READERS[reader]
    NO_FILE[kind](tmp_path / name)
    absent = not os.path.exists(tmp_path / name)
    if (reader == "run" and absent) or (reader == "counted" and not (tmp_path / name).is_file()):
        assert not read(tmp_path / name)
        return
    refusal(lambda: read(tmp_path / name))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", NO_CONTENT)
def test_what_holds_something_else_is_refused(reader, kind, tmp_path):
    name, _, read = READERS[reader]
    NO_CONTENT[kind](tmp_path / name)
    if reader == "prompts.txt" and kind in TEXTS:
        assert len(read(tmp_path / name)) in (1, 2)  # a line is a prompt, whatever it says
        return
    refusal(lambda: read(tmp_path / name))


@pytest.mark.parametrize("reader", READERS)
def test_names_that_cannot_be_are_refused(reader, tmp_path):
    name, _, read = READERS[reader]
    if name in ("results.json", "vote_key.json", "votes.json", "run.json", "config.json", "model_index.json"):
        pytest.skip("the name is ours")
    refusal(lambda: read(tmp_path / ("x" * 5000 + name)))
    refusal(lambda: read(tmp_path / f"a\0{name}"))


WRONG = {"wrong": ["type"]}


def places(form, path=()):
    """Return the path of every plain value of a form, a list's items by number 0."""
    if isinstance(form, OrNone):
        return places(form.form, path)
    if isinstance(form, ListOf):
        return [path, *places(form.item, (*path, 0))]
    if isinstance(form, Object):
        inner = {**form.needed, **form.optional}
        return [*([path] if path else []), *(one for key, part in inner.items() for one in places(part, (*path, key)))]
    assert isinstance(form, Plain)
    return [path]


def _put(value, path, new):
    """Return whether there was a value at this path, which is now `new`."""
    for key in path[:-1]:
        if (isinstance(value, list) and key >= len(value)) or (isinstance(value, dict) and key not in value):
            return False
        value = value[key]
    if not isinstance(value, (list, dict)) or (isinstance(value, list) and path[-1] >= len(value)):
        return False
    value[path[-1]] = new
    return True


FORMS = {
    "tuned": TUNED,
    "results": forms.results(),
    "key": forms.KEY_OF_VOTES,
    "counted": forms.COUNTED,
    "votes": forms.EXPORT,
}


@pytest.mark.parametrize(
    ("reader", "place"), [(name, place) for name, form in FORMS.items() for place in places(form)], ids=str
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_place(reader, place, tmp_path):
    name, good, read = READERS[reader]
    good(tmp_path / name)
    content = json.loads((tmp_path / name).read_text())
    if not _put(content, place, "\x1b" if isinstance(content, list) else 1e17 if place[-1] == "model" else [WRONG]):
        pytest.skip("the right file has no such place")
    (tmp_path / name).write_text(json.dumps(content))
    line = refusal(lambda: read(tmp_path / name))
    assert str(next(one for one in reversed(place) if isinstance(one, str))) in line


def test_a_comparison_of_another_shape_is_refused(tmp_path):
    changes = {
        "two of one name": lambda one: one["variants"].append(one["variants"][0]),
        "an id twice": lambda one: one["settings"].update(image_ids=[1] * len(one["captions"])),
        "endless steps": lambda one: one["variants"][0].update(passes=[[0, 10**15]]),
        "its own baseline": lambda one: one["variants"][0].update(compared_with=one["variants"][0]["name"]),
    }
    for number, change in enumerate(changes.values()):
        content = results()
        change(content)
        (tmp_path / str(number)).mkdir()
        make_folder(tmp_path / str(number), content)
        refusal(lambda folder=tmp_path / str(number): read_comparison(folder))
