"""Short forms of `LogScores`: a callback for one built-in score, with that score's options as its own."""

from __future__ import annotations

from typing import Literal

from fdplug.predict.lightning.callbacks.scores import LogScores
from fdplug.scores.features import CLIP_MODEL, INCEPTION


class LogShapesScores(LogScores):
    """shapes-FD, shapes-CLIP and semantic accuracy of the embedded model; not comparable with FID and CLIP score."""

    def __init__(self) -> None:
        super().__init__(["shapes"])


class LogClipScore(LogScores):
    """CLIP score.

    Args:
        model: hub id or folder of a CLIP model; scores of different models cannot be compared.
        allow_pickle: also load `.bin` weights, which can run code.
    """

    def __init__(self, model: str = CLIP_MODEL, allow_pickle: bool = False) -> None:
        super().__init__([{"clip": {"model": model, "allow_pickle": allow_pickle}}])


class LogInceptionScore(LogScores):
    """Inception score, over all images at once; the extractor has to tell classes.

    Args:
        extractor: `inception`, `inception:PATH` for weights in a file or folder, or the hub id or folder of a
            transformers image classifier.
        allow_pickle: also read weights that are no safetensors.
    """

    def __init__(self, extractor: str = INCEPTION, allow_pickle: bool = False) -> None:
        super().__init__([{"is": {"extractor": extractor, "allow_pickle": allow_pickle}}])


class LogFid(LogScores):
    """FID; `inception`, its own extractor, needs `pip install 'fdplug[fid]'`.

    Args:
        reference: a folder of real images, or a file of their statistics; the data module's own images if left out.
        extractor: see `LogInceptionScore`; any vision model will do.
        size: real images are cropped and resized to this height and width; those of the generated images if left out.
        allow_pickle: also read weights that are no safetensors.
    """

    def __init__(
        self,
        reference: str | None = None,
        extractor: str = INCEPTION,
        size: int | None = None,
        allow_pickle: bool = False,
    ) -> None:
        super().__init__([{"fid": {"extractor": extractor, "allow_pickle": allow_pickle}}], reference, size)


class LogPrecisionRecall(LogScores):
    """Improved precision and recall, with 3 neighbours.

    Args:
        reference: a folder of real images; the data module's own images if left out.
        extractor: see `LogInceptionScore`; any vision model will do.
        size: real images are cropped and resized to this height and width; those of the generated images if left out.
        allow_pickle: also read weights that are no safetensors.
    """

    def __init__(
        self,
        reference: str | None = None,
        extractor: str = INCEPTION,
        size: int | None = None,
        allow_pickle: bool = False,
    ) -> None:
        super().__init__([{"pr": {"extractor": extractor, "allow_pickle": allow_pickle}}], reference, size)


class LogFidelity(LogScores):
    """PSNR and SSIM to the un-accelerated images that an earlier run wrote.

    Args:
        baseline: the folder of that run, with one PNG per image id.
    """

    def __init__(self, baseline: str) -> None:
        super().__init__(["fidelity"], baseline=baseline)


class LogLpips(LogScores):
    """LPIPS to the un-accelerated images that an earlier run wrote; needs torchvision.

    Args:
        baseline: the folder of that run, with one PNG per image id.
        net: `alex`, `vgg` or `squeeze`.
    """

    def __init__(self, baseline: str, net: Literal["alex", "vgg", "squeeze"] = "alex") -> None:
        super().__init__([{"lpips": {"net": net}}], baseline=baseline)


class LogFtc(LogScores):
    """FTC of the Faster Diffusion paper, FID x seconds per image / CLIP score, of what the other callbacks measured."""

    def __init__(self) -> None:
        super().__init__(["ftc"])
