"""Annotation files: the rule for captions, and everything that can be wrong with a file."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest

from fdplug.errors import ConfigError, DataError
from fdplug.predict import Caption, CocoCaptions, read_captions
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
    assert caption == Caption(397133, "A man is in a kitchen making pizzas.", "000000397133.jpg")


def _changed(**changes):
    record = copy.deepcopy(document())
    for path, value in changes.items():
        kind, key = path.split("__")
        record[kind][1][key] = value
    return record


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', "not valid json|nested too deep: Expecting value"),
        ("\x00\xff", "not valid json|nested too deep"),
        ("[" * 100_000, "not valid json|nested too deep"),
        ("[]", "holds a list, not an object"),
        ('{"images": []}', "'annotations' is missing"),
        ('{"images": {}, "annotations": []}', "'images' is an object"),
        ('{"images": [], "annotations": []}', "no captions"),
        ('{"images": [], "annotations": [3]}', r"annotations\[0\] is a number"),
        (_changed(annotations__caption="   "), r"annotations\[1\] \(id 499\): 'caption' is '   '"),
        (_changed(annotations__caption=None), "'caption' is None"),
        (_changed(annotations__id="x"), "'id' is 'x'"),
        (_changed(annotations__id=True), "'id' is True"),
        (_changed(annotations__id=500), r"annotations\[1\]: the annotation id 500 appears twice"),
        (_changed(annotations__caption="a \x1b[31mred"), r"annotations\[1\].*control character U\+001B at position 2"),
        (_changed(annotations__caption="a\0"), r"control character U\+0000"),
        (_changed(annotations__caption="a \ud800 b"), r"control character U\+D800"),
        (json.dumps(document())[:-40], "not valid json|nested too deep"),
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


@pytest.mark.parametrize("options", [{"limit": -1}, {"batch_size": 0}, {"batch_size": 1.5}, {"pick_seed": -1}])
def test_impossible_sizes_are_refused(options):
    with pytest.raises(ConfigError, match="must be a whole number of at least"):
        CocoCaptions(**options)


def test_the_embedded_captions_are_read_the_same_way():
    from fdplug import shapes

    if not shapes.annotations_file().is_file():
        pytest.skip("the embedded model is not in this tree")
    captions = read_captions("shapes")
    assert len(captions) == len({caption.image_id for caption in captions}) == 1000
    assert all(caption.scene for caption in captions)
    assert json.dumps(captions[0].scene)


def test_all_captions_of_an_image_are_named_by_their_annotations(annotations):
    captions = read_captions(annotations, pick="all")
    assert [caption.image_id for caption in captions] == [500, 900, 499, 498, 497, 496]
    assert [caption.file_name for caption in captions[:3]] == ["0.png", "0.png", "1.png"]
    assert captions[1].text == "a later caption of the first image"
    assert len({caption.output_name for caption in captions}) == 6


def test_a_random_caption_depends_on_seed_and_image_alone(annotations):
    drawn = {seed: read_captions(annotations, pick="random", pick_seed=seed) for seed in range(8)}
    assert {len(captions) for captions in drawn.values()} == {5}
    assert {captions[0].text for captions in drawn.values()} == {WORDS[0], "a later caption of the first image"}
    assert all(captions[0].image_id == 3 for captions in drawn.values())
    assert drawn[5] == read_captions(annotations, pick="random", pick_seed=5)


def test_an_unknown_pick_is_refused(annotations):
    with pytest.raises(ConfigError, match="no pick 'frist', did you mean 'first'"):
        CocoCaptions(annotations, pick="frist")


def test_captions_of_ten_thousand_letters_line_breaks_and_other_scripts_are_kept(tmp_path):
    texts = [
        "x" * 10_000,
        "a\nb\tc\r\nd",
        "\u732b\u3068\u72ac",
        "na\u00efve caf\u00e9 \U0001f408",
        "\u00a0non-breaking",
    ]
    captions = read_captions(written(tmp_path, document(texts)))
    assert [caption.text for caption in captions] == [text.strip() for text in texts]


@pytest.mark.slow
def test_a_file_of_coco_s_full_size_is_read_in_seconds_with_bounded_memory(tmp_path):
    """118,287 images with 591,753 captions, in a process of its own, to see its memory alone."""
    ids = range(9, 9 + 118_287)
    url = "http://farm4.staticflickr.com/3153/2970773875_164f0c0b83_z.jpg"
    image = {
        "license": 3,
        "coco_url": url,
        "height": 480,
        "width": 640,
        "date_captured": "2013-11-14",
        "flickr_url": url,
    }
    images = [{**image, "file_name": f"{one:012d}.jpg", "id": one} for one in ids]
    text = "A man riding a wave on top of a surfboard number"
    records = [{"image_id": ids[n % len(ids)], "id": n, "caption": f"{text} {n}."} for n in range(591_753)]
    path = written(tmp_path, {"images": images, "annotations": records})
    code = (
        "import resource, sys, time; from fdplug.predict.data.captions import read_captions\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; start = time.process_time()\n"
        f"counts = [len(read_captions({path!r}, pick=pick)) for pick in ('first', 'all')]\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(counts[0], counts[1], time.process_time() - start, grown / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, every, seconds, megabytes = (float(word) for word in done.stdout.split())
    assert (first, every) == (118_287, 591_753)
    assert seconds < 60  # of the processor, for both readings; 6 on an idle machine
    assert megabytes < 800
