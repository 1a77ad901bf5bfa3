"""For plugin authors and for fdplug's own tests: tiny pipelines from real diffusers classes, and conformance checks."""

from __future__ import annotations

from fdplug.testing.checks import (
    check_cache,
    check_guidance,
    check_injector,
    check_policy,
    check_sampler,
    registered,
    schedule,
)
from fdplug.testing.components import (
    latents,
    tiny_pipeline,
    tiny_text_config,
    tiny_text_encoder,
    tiny_tokenizer,
    tiny_unet,
    tiny_vae,
)
from fdplug.testing.pipeline_checks import check_family, check_part, check_propagation
from fdplug.testing.score_checks import check_score
from fdplug.testing.transform_checks import check_transform

__all__ = [
    "check_cache",
    "check_family",
    "check_guidance",
    "check_injector",
    "check_part",
    "check_policy",
    "check_propagation",
    "check_sampler",
    "check_score",
    "check_transform",
    "latents",
    "registered",
    "schedule",
    "tiny_pipeline",
    "tiny_text_config",
    "tiny_text_encoder",
    "tiny_tokenizer",
    "tiny_unet",
    "tiny_vae",
]
