"""Captions that are longer than the text encoder reads."""

from __future__ import annotations

import pytest

from fdplug.errors import FdplugWarning
from fdplug.predict import CocoCaptions
from fdplug.predict.data.captions import Caption
from fdplug.predict.lightning.callbacks.truncation import ReportTruncation, truncated
from tests.predict.conftest import document, written
from tests.predict.predicting import numbers, predict

LONG = "x" * 10_000


def _reference_truncated(pipe, captions):
    """Tokens counted one caption at a time."""
    limit = pipe.tokenizer.model_max_length
    return [one.image_id for one in captions if len(pipe.tokenizer(one.text, verbose=False)["input_ids"]) > limit]


def test_exactly_the_captions_with_too_many_tokens_are_found(loaded):
    texts = ["a red circle", LONG, *("ab " * count for count in range(1, 12)), "\u732b" * 8, "xyz" * 5]
    captions = [Caption(index, text) for index, text in enumerate(texts)]
    (found,) = truncated(loaded, captions)
    ids = [one.image_id for one in found.captions]
    assert ids == _reference_truncated(loaded, captions)
    assert 1 in ids
    assert 0 not in ids
    assert (found.tokenizer, found.longest) == ("tokenizer", 16)


def test_short_captions_and_pipelines_without_a_tokenizer_report_nothing(loaded):
    assert truncated(loaded, [Caption(1, "a red circle")]) == []

    class Bare:
        def __call__(self, class_labels):
            """Generate."""

    assert truncated(Bare(), [Caption(1, LONG)]) == []


def test_a_pipeline_s_own_limit_counts_for_t5():
    class T5Tokenizer:
        model_max_length = 512

        def __call__(self, texts, truncation, verbose):
            return {"input_ids": [text.split() for text in texts]}

    class Pipe:
        tokenizer = None
        tokenizer_3 = T5Tokenizer()

        def __call__(self, prompt, max_sequence_length=8):
            """Generate."""

    (found,) = truncated(Pipe(), [Caption(1, "word " * 8), Caption(2, "word " * 9)])
    assert [one.image_id for one in found.captions] == [2]
    assert (found.tokenizer, found.longest) == ("tokenizer_3", 8)


def test_a_prediction_says_it_once_and_counts(model, tmp_path, caplog):
    annotations = written(tmp_path, document(["a red circle", LONG, "a square", "another " * 20]))
    data = CocoCaptions(annotations, batch_size=1)
    pattern = r"the end of 2 captions is not seen: tokenizer reads 16 tokens\. The first is 10: 'xxx"
    with pytest.warns(FdplugWarning, match=pattern) as caught:
        predict(model, None, tmp_path / "out", [ReportTruncation()], data=data, steps=2)
    assert len([one for one in caught if "is not seen" in str(one.message)]) == 1
    assert numbers(tmp_path / "out")["truncated_captions"] == 2
    assert "was truncated" not in caplog.text
