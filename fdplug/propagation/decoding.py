"""How the rows of a window of steps are decoded: all in one call of the denoiser, unless something divides them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from fdplug.stacking import Stackable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fdplug.profiling.ledger import Ledger
    from fdplug.propagation.calls.call import Call
    from fdplug.propagation.window import Window

Denoise = Callable[["Window"], Any]


class PartComputed(Exception):
    """Ends a call of the denoiser that was made for the part's features alone."""


class Decoding(Stackable):
    """All rows of a window in one call.

    Attributes:
        ranks: how many processes share the rows.
    """

    name: ClassVar[str] = "at-once"
    ranks: int = 1

    def begin(self, timesteps: Tensor, call: Call, settings: str, network: nn.Module, ledger: Ledger) -> None:
        """Learn that a run begins, with its first call, before anything is computed."""

    def decode(self, window: Window, call: Call, denoise: Denoise) -> Any:
        """Return the predictions for all rows of a window, time-major.

        Args:
            window: the steps to answer.
            call: what the denoiser was given for the first of them.
            denoise: runs the denoiser once, for all rows of a window, a portion of them, or for the part alone.
        """
        return denoise(window)

    def finish(self) -> None:
        """Learn that the run has taken its last step."""


AT_ONCE = Decoding()
