"""Annotation files: the rule for captions, and everything that can be wrong with a file."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import pytest

from fdplug.errors import ConfigError, DataError
from fdplug.predict import CocoCaptions, read_captions
from tests.predict.conftest import WORDS, document, written


def test_lowest_annotation_id_per_image_in_the_order_of_image_ids(annotations):
    captions = read_captions(annotations)
    assert [caption.image_id for caption in captions] == [3, 10, 17, 24, 31]
    assert [caption.text for caption in captions] == list(WORDS)
    assert captions[0].output_name == "000000000003.png"


def test_limit_takes_the_first_images(annotations):
    assert [caption.image_id for caption in read_captions(annotations, 2)] == [3, 10]


def test_coco_s_own_form_is_read(tmp_path):
    record = {
        "info": {"year": 2017},
        "licenses": [{"id": 1}],
        "images": [
            {
                "license": 4,
                "file_name": "000000397133.jpg",
                "coco_url": "http://x",
                "height": 427,
                "width": 640,
                "id": 397133,
            }
        ],
        "annotations": [{"image_id": 397133, "id": 370509, "caption": "A man is in a kitchen making pizzas. "}],
    }
    (caption,) = read_captions(written(tmp_path, record))
    assert caption == (397133, "A man is in a kitchen making pizzas.", "000000397133.jpg", None)


def _changed(**changes):
    record = copy.deepcopy(document())
    for path, value in changes.items():
        kind, key = path.split("__")
        record[kind][1][key] = value
    return record


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', "not valid json: Expecting value"),
        ("\x00\xff", "not valid json"),
        ("[" * 100_000, "not valid json"),
        ("[]", "holds a list, not an object"),
        ('{"images": []}', "'annotations' is missing"),
        ('{"images": {}, "annotations": []}', "'images' is a dict"),
        ('{"images": [], "annotations": []}', "no captions"),
        ('{"images": [], "annotations": [3]}', r"annotations\[0\] is a int"),
        (_changed(annotations__caption="   "), r"annotations\[1\] \(id 499\): 'caption' is '   '"),
        (_changed(annotations__caption=None), "'caption' is None"),
        (_changed(annotations__id="x"), "'id' is 'x'"),
        (_changed(annotations__id=True), "'id' is True"),
        (_changed(annotations__image_id=-1), "'image_id' is -1"),
        (_changed(annotations__image_id=10**30), "'image_id' is 10000"),
        (_changed(annotations__image_id=4), "image_id 4 is not among 'images'"),
        (_changed(images__id=31), "the image id 31 appears twice"),
        (_changed(images__file_name=["a"]), "'file_name' is"),
        (_changed(images__scene="a"), "'scene' is 'a'"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it_and_the_record(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        read_captions(path)
    assert path in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the annotation file .*none.json: No such file"):
        read_captions(tmp_path / "none.json")
    with pytest.raises(DataError, match="cannot read the annotation file"):
        read_captions(tmp_path)


def test_the_data_module_batches_captions(annotations):
    data = CocoCaptions(annotations, limit=3, batch_size=2)
    data.setup("predict")
    batches = [[caption.image_id for caption in batch] for batch in data.predict_dataloader()]
    assert batches == [[3, 10], [17]]


def test_more_processes_than_captions_are_refused(annotations):
    data = CocoCaptions(annotations, limit=2)
    data.setup("predict")
    data.trainer = SimpleNamespace(world_size=3)
    with pytest.raises(ConfigError, match=r"3 processes for 2 captions; take fewer --trainer.devices"):
        data.predict_dataloader()


@pytest.mark.parametrize("options", [{"limit": 0}, {"batch_size": 0}, {"batch_size": 1.5}])
def test_impossible_sizes_are_refused(options):
    with pytest.raises(ConfigError, match="must be a whole number of at least 1"):
        CocoCaptions(**options)


def test_the_embedded_captions_are_read_the_same_way():
    from fdplug import shapes

    if not shapes.annotations_file().is_file():
        pytest.skip("the embedded model is not in this tree")
    captions = read_captions("shapes")
    assert len(captions) == len({caption.image_id for caption in captions}) == 1000
    assert all(caption.scene for caption in captions)
    assert json.dumps(captions[0].scene)
