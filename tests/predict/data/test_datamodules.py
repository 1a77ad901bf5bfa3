"""Prompts of plain files, PartiPrompts, class labels, and subsets of them."""

from __future__ import annotations

import json

import pytest

from fdplug.errors import ConfigError, DataError
from fdplug.predict.data.datamodules import ClassLabels, CocoCaptions, PartiPrompts, PromptFile
from fdplug.predict.data.prompts import read_parti, read_prompts
from fdplug.predict.data.subset import read_ids

PARTI = (
    ("bond", "Abstract", "Basic", "concept with multiple interpretations"),
    ('a sign that says "Diffusion", in blue', "Signage", "Writing & Symbols", ""),
    ("a cat", "Animals", "Basic", ""),
    ("a dog above a cat", "Animals", "Quantity", "a note"),
)


def _file(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _parti(folder, rows=PARTI, columns=("Prompt", "Category", "Challenge", "Note")):
    path = folder / "PartiPrompts.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in (columns, *rows)))
    return str(path)


def _texts(captions):
    return [(caption.image_id, caption.text) for caption in captions]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.txt", "a cat\n\n  a dog, and more \n"),
        ("p.txt", b"\xef\xbb\xbfa cat\r\na dog, and more"),
        ("p.jsonl", '{"prompt": "a cat"}\n\n{"prompt": "a dog, and more", "seed": 3}\n'),
        ("p.csv", 'prompt,kind\na cat,x\n"a dog, and more",y\n'),
        ("p.tsv", "kind\tprompt\nx\ta cat\ny\ta dog, and more\n"),
    ],
)
def test_prompts_are_numbered_in_the_order_of_the_file(tmp_path, name, content):
    assert _texts(read_prompts(_file(tmp_path, name, content))) == [(0, "a cat"), (1, "a dog, and more")]


def test_columns_can_be_named(tmp_path):
    path = _file(tmp_path, "p.jsonl", '{"text": "a cat", "key": 7}\n{"text": "a dog", "key": "3"}\n')
    assert _texts(read_prompts(path, "text", "key")) == [(7, "a cat"), (3, "a dog")]


def test_parquet_is_read(tmp_path):
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"prompt": ["a cat", "a dog"], "captions": [["x"], ["y"]], "id": [5, 2]})
    parquet.write_table(table, tmp_path / "p.parquet")
    assert _texts(read_prompts(tmp_path / "p.parquet", id_column="id")) == [(5, "a cat"), (2, "a dog")]
    with pytest.raises(DataError, match=r"p.parquet: row 0: 'captions' is \['x'\], a text is needed"):
        read_prompts(tmp_path / "p.parquet", "captions")
    with pytest.raises(DataError, match=r"row 0: no column 'text'; found prompt, captions, id"):
        read_prompts(tmp_path / "p.parquet", "text")
    with pytest.raises(DataError, match=r"cut.parquet: it cannot be read as parquet"):
        read_prompts(_file(tmp_path, "cut.parquet", (tmp_path / "p.parquet").read_bytes()[:60]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.doc", "x", r"prompts are read from .txt, .jsonl, .csv, .tsv, .parquet files"),
        ("p.txt", "\n \n", "holds no prompts"),
        ("p.txt", b"a cat\n\xff\xfe", "it is no text in UTF-8"),
        ("p.txt", "a cat\na \x07 dog", r"line 2: 'prompt' holds the control character U\+0007 at position 2"),
        ("p.jsonl", '{"prompt": "a cat"}\n{"prompt": ', "line 2 is not valid json"),
        ("p.jsonl", "[1]", "line 1 is a list, an object is needed"),
        ("p.jsonl", '{"prompt": 3}', "line 1: 'prompt' is 3, a text is needed"),
        ("p.jsonl", '{"text": "x"}', r"line 1: no column 'prompt'; found text. Name another"),
        ("p.csv", "prompt\na,b\n", "line 2 has more fields than the header"),
        ("p.csv", 'prompt\n"a', "is not valid csv"),
        ("p.csv", "kind,prompt\nx\n", "line 2: no column 'prompt'; found kind"),
    ],
)
def test_a_bad_prompt_file_is_named_with_the_place(tmp_path, name, content, message):
    path = _file(tmp_path, name, content)
    with pytest.raises(DataError, match=message) as caught:
        read_prompts(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('{"prompt": "a", "id": 1}\n{"prompt": "b", "id": 1}', "line 2: the id 1 appears twice, first in line 1"),
        ('{"prompt": "a", "id": -1}', "line 1: 'id' is -1, a non-negative whole number is needed"),
        ('{"prompt": "a", "id": true}', "'id' is True"),
        ('{"prompt": "a", "id": "../x"}', r"'id' is '\.\./x'"),
        ('{"prompt": "a"}', "line 1: no column 'id'"),
    ],
)
def test_ids_are_checked(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read_prompts(_file(tmp_path, "p.jsonl", rows), id_column="id")


def test_a_missing_prompt_file_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the prompt file .*none.txt: No such file"):
        read_prompts(tmp_path / "none.txt")


def test_parti_prompts_are_read_with_their_quotes(tmp_path):
    assert _texts(read_parti(_parti(tmp_path))) == [(index, row[0]) for index, row in enumerate(PARTI)]


def test_parti_prompts_of_a_kind_keep_their_row_numbers(tmp_path):
    path = _parti(tmp_path)
    assert [one.image_id for one in read_parti(path, "Animals")] == [2, 3]
    assert [one.image_id for one in read_parti(path, challenge="Basic")] == [0, 2]
    assert [one.image_id for one in read_parti(path, "Animals", "Basic")] == [2]
    with pytest.raises(DataError, match="no category 'Animal'; it has Abstract, Animals, Signage"):
        read_parti(path, "Animal")
    with pytest.raises(DataError, match="no prompt has both category 'Abstract' and challenge 'Quantity'"):
        read_parti(path, "Abstract", "Quantity")


def test_a_parti_file_without_its_columns_is_refused(tmp_path):
    path = _parti(tmp_path, [("a", "b")], ("Prompt", "Category"))
    with pytest.raises(DataError, match=r"line 2 has no Challenge, only Prompt, Category"):
        read_parti(path)


def _set_up(data):
    data.setup("predict")
    return data


def test_data_modules_say_what_they_selected(tmp_path, capsys):
    data = _set_up(PartiPrompts(_parti(tmp_path), limit=3))
    assert capsys.readouterr().out == f"PartiPrompts: 3 of 4 captions, selection {data.selection_hash}\n"
    assert _set_up(PartiPrompts(_parti(tmp_path), limit=3)).selection_hash == data.selection_hash
    assert _set_up(PartiPrompts(_parti(tmp_path), limit=2)).selection_hash != data.selection_hash
    changed = [("Bond", *PARTI[0][1:]), *PARTI[1:]]
    assert _set_up(PartiPrompts(_parti(tmp_path, changed), limit=3)).selection_hash != data.selection_hash


def test_a_random_subset_is_nested_and_repeatable(tmp_path):
    path = _file(tmp_path, "p.txt", "\n".join(f"prompt {index}" for index in range(50)))
    small, large = (_set_up(PromptFile(str(path), limit=limit, subset_seed=4)) for limit in (10, 30))
    ids = [caption.image_id for caption in small.captions]
    assert len(ids) == 10
    assert ids == sorted(ids) != list(range(10))
    assert set(small.captions) < set(large.captions)
    other = _set_up(PromptFile(str(path), limit=10, subset_seed=5))
    assert other.captions != small.captions


@pytest.mark.parametrize("content", ["17 # the third\n\n3\n", "[17, 3]"])
def test_a_list_of_ids_chooses_captions_in_the_order_of_the_file(annotations, tmp_path, content):
    ids = str(_file(tmp_path, "ids.txt", content))
    data = _set_up(CocoCaptions(annotations, ids=ids))
    assert [caption.image_id for caption in data.captions] == [3, 17]
    assert len(_set_up(CocoCaptions(annotations, ids=ids, limit=1)).captions) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3\n3\n", "line 2: the id 3 appears twice, first in line 1"),
        ("three", "line 1: 'three' is no id"),
        ("[3, true]", "entry 1: True is no id"),
        ("[3, -1]", "entry 1: -1 is no id"),
        ("[3", "not valid json"),
        ("# none\n", "holds no ids"),
        (b"\xff\xfe", "is no text"),
    ],
)
def test_a_bad_list_of_ids_is_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_ids(_file(tmp_path, "ids.txt", content))


def test_an_id_without_a_caption_is_named(annotations, tmp_path):
    ids = str(_file(tmp_path, "ids.txt", "3\n4\n"))
    with pytest.raises(DataError, match=r"ids.txt: line 2: no caption has the id 4"):
        _set_up(CocoCaptions(annotations, ids=ids))


def test_real_images_are_taken_once_each(annotations, tmp_path):
    from PIL import Image

    for index in range(5):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{index}.png")
    data = _set_up(CocoCaptions(annotations, real_images=str(tmp_path), pick="all", limit=1))
    assert [caption.file_name for caption in data.references().captions] == [f"{index}.png" for index in range(5)]


def test_prompts_have_no_real_images(tmp_path):
    data = _set_up(PromptFile(str(_file(tmp_path, "p.txt", "a"))))
    with pytest.raises(DataError, match="PromptFile has no real images; give the metric a `reference`"):
        data.references()


def test_classes_are_taken_round_by_round():
    data = _set_up(ClassLabels(classes=[207, 360], per_class=2, batch_size=3))
    assert [(one.image_id, one.label, one.text) for one in data.captions] == [
        (207, 207, "class 207"),
        (360, 360, "class 360"),
        (1207, 207, "class 207"),
        (1360, 360, "class 360"),
    ]
    assert len(_set_up(ClassLabels(num_classes=10, per_class=5)).captions) == 50


@pytest.mark.parametrize("kind", ["object", "lines", "pipeline"])
def test_classes_have_names(tmp_path, kind):
    names = {"0": "tench, Tinca tinca", "1": "goldfish"}
    content = {
        "object": ("n.json", json.dumps(names)),
        "lines": ("n.txt", "\n".join(names.values())),
        "pipeline": ("model_index.json", json.dumps({"_class_name": "DiTPipeline", "id2label": names})),
    }
    path = _file(tmp_path, *content[kind])
    path = path.parent if kind == "pipeline" else path
    data = _set_up(ClassLabels(classes=["Goldfish", "tinca tinca"], names=str(path)))
    assert [(one.label, one.text) for one in data.captions] == [(1, "goldfish"), (0, "tench, Tinca tinca")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": [1000]}, "class 1000 of 1000: classes count from 0 to 999"),
        ({"classes": [-1]}, "class must be a whole number of at least 0"),
        ({"classes": [1, 1]}, "classes must be different ones"),
        ({"classes": []}, "classes must be different ones and at least one"),
        ({"classes": ["cat"]}, "no class 'cat': give `names` to use names"),
        ({"per_class": 0}, "per_class must be a whole number of at least 1"),
    ],
)
def test_impossible_classes_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        _set_up(ClassLabels(**options))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid json"),
        ("[]", "holds no class names"),
        ('{"x": "a"}', "class 'x' needs a whole number as its key"),
        ('{"0": 3}', "class '0' is 3, a text is needed"),
    ],
)
def test_bad_class_names_are_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        _set_up(ClassLabels(names=str(_file(tmp_path, "n.json", content))))
