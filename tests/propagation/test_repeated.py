"""Copies that are written only where they are needed behave like copies."""

from __future__ import annotations

import pytest
import torch

from fdplug.profiling.live_memory import LiveMemory
from fdplug.repeated import Repeated, repeat, whole
from fdplug.testing import latents
from tests.propagation import reference

ROWS, TIMES = 2, 3


def copies(source):
    """What a repeated tensor stands for."""
    return torch.cat([source] * TIMES)


@pytest.fixture(params=[torch.contiguous_format, torch.channels_last], ids=["rows", "channels-last"])
def source(request):
    made = torch.randn(ROWS, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    return made.contiguous(memory_format=request.param)


def test_it_has_the_shape_of_its_copies_and_takes_no_memory(source):
    with LiveMemory() as memory:
        lazy = repeat(source, TIMES)
    assert (lazy.shape, lazy.dtype, lazy.device) == (copies(source).shape, source.dtype, source.device)
    assert memory.peak == 0
    assert not lazy.written


@pytest.mark.parametrize(
    "use",
    [
        lambda one: one * 2,
        lambda one: one[1:4],
        lambda one: one.flatten(1).softmax(-1),
        lambda one: torch.nn.functional.conv2d(one, torch.ones(3, 5, 3, 3)),
        lambda one: one.permute(0, 2, 3, 1).reshape(len(one), -1, 5),
        lambda one: torch.cat([one, torch.ones_like(one)]),
        lambda one: torch.cat([one, one.double()], dim=1),
        lambda one: one + torch.ones(one.shape),
        lambda one: torch.add(one, one, alpha=2),
    ],
    ids=["scale", "slice", "softmax", "convolve", "reshape", "stack rows", "promote", "add", "add scaled"],
)
def test_any_operation_sees_the_copies(source, use):
    assert torch.equal(use(repeat(source, TIMES)), use(copies(source)))


@pytest.mark.parametrize("dim", [1, -1, 2])
@pytest.mark.parametrize("first", [True, False])
def test_joining_writes_every_copy_once_and_where_it_is_read(source, dim, first):
    other = torch.randn(TIMES * ROWS, 5, 4, 6)
    lazy = repeat(source, TIMES)
    pair, plain = ([lazy, other], [copies(source), other]) if first else ([other, lazy], [other, copies(source)])
    with LiveMemory() as memory:
        joined = torch.cat(pair, dim)
    assert torch.equal(joined, torch.cat(plain, dim))
    assert memory.peak == joined.nbytes
    assert not lazy.written


def test_joining_keeps_the_memory_format(source):
    other = copies(source)
    joined, plain = torch.cat([repeat(source, TIMES), other], 1), torch.cat([copies(source), other], 1)
    assert joined.stride() == plain.stride()


@pytest.mark.parametrize("use", [torch.add, lambda one, other: torch.cat([one, other], 1)], ids=["add", "join"])
def test_what_is_alike_for_all_steps_stays_so(source, use):
    other = torch.randn_like(source)
    result = use(repeat(source, TIMES), repeat(other, TIMES))
    assert isinstance(result, Repeated)
    assert torch.equal(whole(result), use(copies(source), copies(other)))


def test_copies_of_unlike_numbers_of_rows_are_not_mixed_up():
    one, other = torch.randn(2, 3), torch.randn(3, 3)
    assert torch.equal(repeat(one, 3) + repeat(other, 2), torch.cat([one] * 3) + torch.cat([other] * 2))


@pytest.mark.parametrize(
    "write",
    [
        lambda one: one.add_(1),
        lambda one: one[:, 1].zero_(),
        lambda one: one.view(TIMES, -1)[1].fill_(3),
        lambda one: one.__iadd__(torch.ones(one.shape)),
        lambda one: one.copy_(torch.arange(one.numel()).view(one.shape)),
    ],
    ids=["add", "channel", "step", "iadd", "copy"],
)
def test_writing_changes_the_copies_and_not_the_source(write):
    source = torch.randn(ROWS, 5, 4, 6)
    kept, lazy, plain = source.clone(), repeat(source, TIMES), copies(source)
    write(lazy)
    write(plain)
    other = torch.randn(plain.shape)
    assert torch.equal(lazy, plain)
    assert torch.equal(torch.cat([lazy, other], 1), torch.cat([plain, other], 1))
    assert torch.equal(lazy + repeat(source, TIMES), plain + copies(source))
    assert torch.equal(lazy.first(), plain[:ROWS])
    assert torch.equal(source, kept)


def test_one_copy_is_fresh_memory(source):
    assert repeat(source, 1).data_ptr() != source.data_ptr()


def test_gradients_are_not_cut():
    source = torch.ones(ROWS, 3, requires_grad=True)
    repeat(source, TIMES).sum().backward()
    assert torch.equal(source.grad, torch.full((ROWS, 3), float(TIMES)))


def test_freeu_and_parallel_decoding_agree_with_the_plain_loop(pipe):
    """FreeU writes into what the up blocks are given."""
    import fdplug

    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    expected = reference.propagate(pipe, ["a red circle"], 9, (0, 3, 6), 4.0)
    with fdplug.propagate(pipe, policy={"explicit": {"steps": [0, 3, 6]}}, injector="none", decoding="parallel"):
        got = latents(pipe, ["a red circle"], num_inference_steps=9, guidance_scale=4.0)
    assert torch.allclose(got, expected, atol=1e-4 * float(expected.abs().max()))
