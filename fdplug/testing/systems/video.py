"""Text-to-video and image-to-video, at tiny size."""

from __future__ import annotations

from typing import Any

from fdplug import testing
from fdplug.testing.systems.stable_diffusion import SMALL
from fdplug.testing.systems.system import System, image_encoder, picture, words


def _text_to_video() -> Any:
    from diffusers import TextToVideoSDPipeline, UNet3DConditionModel

    unet = UNet3DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    ).eval()
    pipe = testing.tiny_pipeline(**SMALL)
    kept = {name: pipe.components[name] for name in ("vae", "text_encoder", "tokenizer", "scheduler")}
    return TextToVideoSDPipeline(unet=unet, **kept)


def _animate_diff() -> Any:
    from diffusers import AnimateDiffPipeline, MotionAdapter

    pipe = testing.tiny_pipeline(**SMALL)
    adapter = MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_norm_num_groups=4,
        motion_num_attention_heads=2,
        motion_max_seq_length=8,
    ).eval()
    kept = {name: pipe.components[name] for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")}
    return AnimateDiffPipeline(**kept, motion_adapter=adapter)


def _stable_video_diffusion() -> Any:
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        EulerDiscreteScheduler,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )

    unet = UNetSpatioTemporalConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        in_channels=8,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=16,
        num_attention_heads=2,
        projection_class_embeddings_input_dim=24,
        addition_time_embed_dim=8,
    )
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2, layers_per_block=1, sample_size=16
    )
    return StableVideoDiffusionPipeline(
        unet=unet.eval(),
        vae=vae.eval(),
        **image_encoder(),
        scheduler=EulerDiscreteScheduler(
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            timestep_type="continuous",
            use_karras_sigmas=True,
            sigma_min=0.002,
            sigma_max=700.0,
        ),
    )


def _video(n: int) -> dict[str, Any]:
    return {"prompt": words(n), "num_frames": 3, "height": 16, "width": 16, "output_type": "latent"}


def _from_image(n: int) -> dict[str, Any]:
    return {"image": picture(n), "num_frames": 2, "height": 16, "width": 16, "output_type": "latent"}


_RESIZED = {"height": 24, "width": 32}

SYSTEMS = (
    System(
        name="text-to-video",
        title="Text-to-video (ModelScope, VideoFusion)",
        pipeline="TextToVideoSDPipeline",
        build=_text_to_video,
        arguments=_video,
        resized=_RESIZED,
    ),
    System(
        name="animatediff",
        title="AnimateDiff",
        pipeline="AnimateDiffPipeline",
        build=_animate_diff,
        arguments=_video,
        resized=_RESIZED,
    ),
    System(
        name="svd",
        title="Stable Video Diffusion",
        pipeline="StableVideoDiffusionPipeline",
        build=_stable_video_diffusion,
        arguments=_from_image,
        resized=_RESIZED,
    ),
)
