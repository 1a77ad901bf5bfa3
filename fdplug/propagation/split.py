"""A span's rows divided over the processes of a group, so that several GPUs cut the latency of one image.

Every process makes the same pipeline call. At a key step each computes the part for itself: if one did it for all, the
others could only wait for it, and then for its features. Each then decodes its own portion of the span's rows, and all
receive the predictions of all. These are as small as the sample: 3.3 MB for a whole image of Stable Diffusion v1.5 at
512 x 512 (50 guided steps, 16 bits), where the features would be 242 MB. From there on every process goes through the
span with the same predictions, so that all hold the same image, bit for bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from fdplug import trees
from fdplug.errors import ConfigError, PropagationError
from fdplug.propagation.decoding import Decoding, Denoise

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from fdplug.profiling.ledger import Ledger
    from fdplug.propagation.calls.call import Call
    from fdplug.propagation.window import Window

AGREED = ("settings", "weights", "timesteps", "noise", "prompts and other inputs")
SAMPLED = 2**18
MIXER = 0x2545F4914F6CDD1D


class SplitDecode(Decoding):
    """Divide the rows of every span over the processes of a group; several GPUs then cut the latency of one image.

    ```
    torch.distributed.init_process_group(timeout=datetime.timedelta(seconds=60))
    with fdplug.propagate(pipe, decoding=fdplug.split_decode()):
        image = pipe("a red circle", generator=torch.Generator().manual_seed(0)).images[0]
    ```

    Every process runs this, under `torchrun --nproc-per-node 2`, each with the whole pipeline on a device of its own,
    and with the same seed, prompts and settings: that is compared when a run begins. Each decodes a contiguous portion
    of a span's time-major rows and receives the others' predictions, so that all of them get the same image. A process
    that stops makes the others fail, after the group's timeout at the latest.

    Args:
        group: a group of `torch.distributed` that this process belongs to; None: all processes.

    Attributes:
        rank: which of the processes this is.

    Raises:
        ConfigError: no group is initialised, or this process does not belong to it.
    """

    name: ClassVar[str] = "split"

    def __init__(self, group: ProcessGroup | None = None) -> None:
        import torch.distributed as dist

        if not dist.is_available() or not dist.is_initialized():
            raise ConfigError(
                "split_decode needs a group of processes and torch.distributed is not initialised: call "
                "torch.distributed.init_process_group() first, in a script started with torchrun --nproc-per-node 2"
            )
        self.rank = dist.get_rank(group)
        if self.rank < 0:
            raise ConfigError(
                f"process {dist.get_rank()} does not belong to the group that split_decode was given; "
                "let it wait, or give it a group of its own"
            )
        self.ranks = dist.get_world_size(group)
        self._group = group
        self._ledger: Ledger | None = None
        self._apart: Tensor | None = None
        self._weights: tuple[nn.Module, Tensor] | None = None

    def begin(self, timesteps: Tensor, call: Call, settings: str, network: nn.Module, ledger: Ledger) -> None:
        """Compare what the processes are about to do.

        Raises:
            PropagationError: they do not agree, or one does not answer.
        """
        self._ledger, self._apart = ledger, None
        if self.ranks == 1:
            return
        if self._weights is None or self._weights[0] is not network:
            self._weights = network, _weights(network, call.sample.device)
        _, inputs = trees.dissect({**call.arguments, call.role.sample: None, call.role.timestep: None})
        stamps = [
            _text(settings + _shapes(call)),
            self._weights[1],
            checksum([timesteps]),
            checksum([call.sample]),
            checksum(inputs),
        ]
        self._compare(torch.stack([stamp.to(call.sample.device) for stamp in stamps]))

    def _compare(self, stamps: Tensor) -> None:
        received = self._gather(_as_bytes(stamps)).view(torch.int64)
        other = (received != received[0]).any(0).tolist()
        if any(other):
            what = ", ".join(name for name, differs in zip(AGREED, other, strict=True) if differs)
            raise PropagationError(
                f"the {self.ranks} processes that share this run differ in: {what}. Every one must make the same "
                "call of the same pipeline: same seed or generator, prompts, size, steps, weights and settings"
            )

    def decode(self, window: Window, call: Call, denoise: Denoise) -> Any:
        """Compute the part where it is due, decode this process's portion, and exchange the predictions.

        Raises:
            PropagationError: a process does not answer, or has another sample.
        """
        if self.ranks == 1:
            return denoise(window)
        if window.computes:
            denoise(window.for_part())
        shares = portions(window.size, self.ranks)
        last = range(window.size - 1, window.size)  # where rows are too few, to know the shape of a prediction
        own = shares[self.rank] or last
        skeleton, tensors = trees.dissect(denoise(replace(window, portion=own)))
        return skeleton.fill(tuple(self._exchange(tensors, len(own), shares, checksum([call.sample]))))

    def _exchange(self, tensors: Sequence[Tensor], own: int, shares: Sequence[range], stamp: Tensor) -> list[Tensor]:
        """Return all rows of each tensor, of which this process has `own`; in one message, padded to equal length."""
        most = max(map(len, shares))
        blocks = [_padded(tensor, own, most) for tensor in tensors]
        received = self._gather(torch.cat([_as_bytes(stamp), *map(_as_bytes, blocks)]))
        sizes = [stamp.nbytes, *(block.nbytes for block in blocks)]
        stamps, *pieces = (piece.contiguous() for piece in received.split(sizes, 1))
        self._watch(stamps.view(torch.int64).flatten())
        return [
            _assembled(piece.view(block.dtype).unflatten(1, block.shape), shares, most)
            for piece, block in zip(pieces, blocks, strict=True)
        ]

    def _gather(self, packed: Tensor) -> Tensor:
        """Return the bytes of every process, (ranks, length)."""
        import torch.distributed as dist

        received = packed.new_empty(self.ranks * packed.numel())
        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor  # its name before torch 2.13
        try:
            gather(received, packed, group=self._group)
        except RuntimeError as error:
            raise PropagationError(
                f"process {self.rank} of {self.ranks} got no answer from the others: one has stopped, makes another "
                "call, or is slower than the group's timeout; the group's backend must also be one for tensors on "
                f"'{packed.device.type}' ({error})"
            ) from error
        if self._ledger is not None:
            self._ledger.received += (self.ranks - 1) * packed.nbytes
        return received.view(self.ranks, -1)

    def _watch(self, stamps: Tensor) -> None:
        """Note whether samples differ, (ranks,); an accelerator is not waited for before the run is over."""
        apart = (stamps != stamps[0]).any()
        self._apart = apart if self._apart is None else self._apart | apart
        if apart.device.type == "cpu":
            self.finish()

    def finish(self) -> None:
        """Raise `PropagationError` if the processes had different samples."""
        if self._apart is not None and bool(self._apart):
            raise PropagationError(
                f"the samples of the {self.ranks} processes that share this run have come apart: the scheduler or an "
                "injector draws random numbers that are not seeded, or a callback changes the sample on one of them"
            )


split_decode = SplitDecode  # the public name: what a user writes in `decoding=` reads as a verb


def portions(rows: int, ranks: int) -> list[range]:
    """Return who decodes which rows: contiguous, as even as can be, the first processes one more; none is possible."""
    base, extra = divmod(rows, ranks)
    starts = [rank * base + min(rank, extra) for rank in range(ranks + 1)]
    return [range(starts[rank], starts[rank + 1]) for rank in range(ranks)]


def _padded(tensor: Tensor, rows: int, most: int) -> Tensor:
    """Return `most` rows (times frames) of a prediction, of which the first `rows` are those of `tensor`."""
    if tensor.dim() == 0 or tensor.shape[0] % rows:
        raise PropagationError(
            f"the denoiser answers {rows} rows with a tensor of shape {tuple(tensor.shape)}, which cannot be put "
            "together from several processes; take decoding='parallel'"
        )
    frames = tensor.shape[0] // rows
    tensor = tensor.detach().contiguous()
    missing = (most - rows) * frames
    return torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])]) if missing else tensor


def _assembled(pieces: Tensor, shares: Sequence[range], most: int) -> Tensor:
    """Join the rows of every process, (ranks, most * frames, ...), without what they were padded with."""
    frames = pieces.shape[1] // most
    return torch.cat([piece[: len(share) * frames] for piece, share in zip(pieces, shares, strict=True)])


def _as_bytes(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)


def checksum(tensors: Iterable[Tensor]) -> Tensor:
    """Return a number, (), int64, for the exact bits of some tensors, on the device of the first of them.

    Integers are summed, so that the order does not matter, as it would for floats. Of a large tensor evenly spaced
    elements are taken.
    """
    total: Tensor | None = None
    for place, tensor in enumerate(tensors, 1):
        flat = tensor.detach().reshape(-1)
        bits = flat[:: max(1, flat.numel() // SAMPLED)].contiguous().view(torch.uint8).to(torch.int64) + 1
        weights = torch.arange(1, bits.numel() + 1, device=bits.device) * MIXER
        weights = (weights ^ (weights >> 29)) * (2 * place + 1)
        part = (bits * weights).sum()
        total = part if total is None else total + part.to(total.device)
    return torch.zeros((), dtype=torch.int64) if total is None else total


def _text(text: str) -> Tensor:
    digest = hashlib.sha256(text.encode()).digest()[:8]
    return torch.tensor(int.from_bytes(digest, "big", signed=True))


def _weights(network: nn.Module, device: torch.device) -> Tensor:
    """Return a number for the beginnings of all weights that lie in memory as plain tensors."""
    plain = [one for one in network.parameters() if type(one.data) is Tensor and one.device.type != "meta"]
    beginnings = [(one.detach()[:1] if one.dim() else one.detach()).reshape(-1)[:64] for one in plain]
    return checksum([one.to(device) for one in beginnings]).to(device)


def _shapes(call: Call) -> str:
    return repr([(tuple(one.shape), str(one.dtype)) for one in trees.leaves(call.arguments)])
