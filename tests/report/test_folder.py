"""A folder of a comparison is read with suspicion."""

from __future__ import annotations

import json

import pytest

from fdplug.errors import DataError
from fdplug.files.checksum import with_checksum
from fdplug.report.folder import RESULTS, read
from tests.report.conftest import make_folder, results


def test_what_was_written_is_read(folder):
    compared = read(folder)
    assert [row["name"] for row in compared.rows] == ["ddim-10", "fast", "same", "ddim-5"]
    assert compared.picture("fast", 2) == folder / "images" / "fast" / "000000004711.png"
    assert len(compared.digest) == 64


def test_no_name_leads_out_of_the_folder(tmp_path):
    content = results()
    content["variants"][0]["name"] = "../../etc"
    content["variants"][1:] = []
    compared = read(make_folder(tmp_path, content))
    assert compared.picture("../../etc", 0) == tmp_path / "images" / "etc" / "000000000003.png"
    assert not compared.generated("../../etc", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("captions"), "it has no 'captions'; .* of this version"),
        (lambda content: content.update(variants={}), "variants is {}, a list is needed"),
        (lambda content: content["settings"].update(image_ids=[1, -2, 3]), "-2, a whole number"),
        (lambda content: content["settings"].update(image_ids=["../x", 2, 3]), "'../x', a whole number"),
        (lambda content: content["captions"].pop(), "3 different image ids and 2 captions"),
        (lambda content: content["variants"].clear(), "variants has 0 items"),
        (lambda content: content["variants"][0].update(name="//"), "its variants need different names"),
        (lambda content: content["variants"][1].update(compared_with="none"), "'fast' is compared with 'none'"),
    ],
)
def test_what_is_not_as_it_should_be_is_named(tmp_path, change, message):
    content = results()
    change(content)
    with pytest.raises(DataError, match=message):
        read(make_folder(tmp_path, content))


def test_what_has_changed_since_it_was_written_is_refused(tmp_path):
    """A digit that is another one has the right form still."""
    folder = make_folder(tmp_path, with_checksum(results()))
    written = (folder / RESULTS).read_text()
    assert read(folder).results == json.loads(written)
    digits = [place for place, letter in enumerate(written) if letter.isdigit()]
    for place in digits[:: len(digits) // 60]:
        changed = str((int(written[place]) + 1) % 10)
        (folder / RESULTS).write_text(written[:place] + changed + written[place + 1 :])
        with pytest.raises(DataError, match=r"results\.json: .*; name a folder"):
            read(folder)


def test_a_document_that_is_only_laid_out_anew_or_has_no_checksum_is_read(tmp_path):
    folder = make_folder(tmp_path, with_checksum(results()))
    (folder / RESULTS).write_text(json.dumps(json.loads((folder / RESULTS).read_text()), indent=8, sort_keys=True))
    assert read(folder).results["crc32"]
    assert "crc32" not in read(make_folder(tmp_path / "bare")).results


def test_other_files_and_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the comparison .*; name a folder that `fdplug compare --out`"):
        read(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(DataError, match="not valid json"):
        read(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps([1]))
    with pytest.raises(DataError, match="an object is needed"):
        read(tmp_path)
