"""The encoder of every U-Net, and what is replayed along with it, against a plain loop of hooks."""

from __future__ import annotations

import re

import pytest

import fdplug
from fdplug.lookup import find_families
from fdplug.testing.systems import SYSTEMS
from tests.denoisers.conftest import close
from tests.denoisers.test_transformer_parts import KEPT, METHOD, deterministic, hooked

__all__ = ["deterministic"]

# What the paper calls the encoder of a U-Net, by the names of its modules.
ENCODER = re.compile(r"conv_in|down_blocks\.\d+|mid_block|embedding|down_downscalers\.\d+")
# Its pipeline goes back to noisier steps within a call.
OTHERWISE = {"text2video-zero"}
BEGIN = {"sd-img2img": 2, "sd-inpaint": 2}
QUICK = {"sd", "controlnet"}
UNETS = [name for name in SYSTEMS if name not in KEPT and name not in OTHERWISE]
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in UNETS]


@pytest.mark.parametrize("name", NAMES)
def test_the_encoder_is_what_hooks_on_its_modules_give(cases, name):
    """Step by step and a span at once; a ControlNet's whole output is kept along with it."""
    case = cases(name)
    family, network = find_families(case.pipe)[0]
    part = family.part(network, "encoder")
    if family.component == "unet":
        own = {one for one, module in network.named_modules() if module is not None and ENCODER.fullmatch(one)}
        assert own <= set(part.modules)
    beside = [getattr(case.pipe, one.component, None) for one in part.companions]
    replayed = [(network, one) for one in part.modules] + [(one, "") for one in beside if one is not None]
    expected = hooked(case, [network], replayed, BEGIN.get(name, 0))
    assert not close(expected, case.run(num_inference_steps=6), 1e-3)
    for decoding in ("serial", "parallel"):
        with fdplug.propagate(case.pipe, decoding=decoding, **METHOD):
            assert close(case.run(num_inference_steps=6), expected)
