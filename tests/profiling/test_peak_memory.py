"""Resident memory stays what it is over thousands of captions."""

from __future__ import annotations

import pytest

from benchmarks.predict_throughput import memory


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
def test_memory_is_flat_over_two_thousand_captions(tmp_path):
    found = memory(tmp_path, captions=2000, batch_size=16, steps=2)
    assert found["captions"] == 2000
    assert found["growth"] < 0.05, found
