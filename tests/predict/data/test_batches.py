"""Every caption once, every process as many batches."""

from __future__ import annotations

import pytest
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler

from fdplug.predict import Caption
from fdplug.predict.data.batches import caption_loader, even_batches


def _captions(count):
    return [Caption(index, f"text {index}") for index in range(count)]


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 16, 33])
def test_every_process_gets_as_many_batches_and_every_caption_comes_once(count, batch_size, processes):
    captions = _captions(count)
    batches = even_batches(captions, batch_size, processes)
    assert [caption for batch in batches for caption in batch] == captions
    shares = [
        [batches[index] for index in UnrepeatedDistributedSampler(batches, processes, rank, shuffle=False)]
        for rank in range(processes)
    ]
    assert len({len(share) for share in shares}) == 1
    images = [sum(map(len, share)) for share in shares]
    assert sum(images) == count
    assert max(images) - min(images) <= 1
    assert max(map(len, batches)) <= batch_size
    smallest_number = max(-(-count // (batch_size * processes)), 1)
    assert len(shares[0]) == smallest_number


def test_one_process_takes_full_batches_and_the_rest():
    assert [len(batch) for batch in even_batches(_captions(10), 4)] == [4, 4, 2]
    assert [len(batch) for batch in caption_loader(_captions(10), 4)] == [4, 4, 2]
    assert list(caption_loader([], 4)) == [[]]
