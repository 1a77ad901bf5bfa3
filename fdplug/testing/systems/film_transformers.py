"""More text-to-video transformers of the table, and one for sounds, at tiny size, from given embeddings."""

from __future__ import annotations

from typing import Any

import torch

from fdplug.testing.systems.from_embeddings import (
    CHANNELS,
    MASKS,
    SMALL,
    TOKENS,
    assembled,
    embedded,
    masked,
    sized,
    tabled,
)
from fdplug.testing.systems.system import System, noise

_LIKE_WAN = {"patch_size": (1, 2, 2), "attention_head_dim": 12, "rope_max_seq_len": 32}


def _sana_video_arguments(n: int) -> dict[str, Any]:
    plain = {"negative_prompt": None, "use_resolution_binning": False, "complex_human_instruction": None}
    return {**embedded(n), **masked(n, *MASKS), "frames": 5, **sized(), **plain}


def _hunyuan_video() -> Any:
    from diffusers import HunyuanVideoTransformer3DModel

    transformer = HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=2,
        num_single_layers=3,
        num_refiner_layers=1,
        patch_size=1,
        guidance_embeds=True,
        text_embed_dim=16,
        pooled_projection_dim=8,
        rope_axes_dim=(2, 4, 4),
    )
    return assembled("HunyuanVideoPipeline", transformer)


def _hunyuan_video_arguments(n: int) -> dict[str, Any]:
    return {
        **embedded(n),
        **masked(n, *MASKS),
        "pooled_prompt_embeds": noise(n, 8),
        "negative_pooled_prompt_embeds": noise(1, 8, seed=99).expand(n, -1),
        "true_cfg_scale": 2.0,
        "num_frames": 5,
        **sized(),
    }


def _mochi() -> Any:
    from diffusers import MochiTransformer3DModel

    transformer = MochiTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=3,
        pooled_projection_dim=16,
        in_channels=4,
        text_embed_dim=16,
        time_embed_dim=4,
        max_sequence_length=TOKENS,
    )
    return assembled("MochiPipeline", transformer)


def _easyanimate() -> Any:
    from diffusers import AutoencoderKLMagvit, EasyAnimateTransformer3DModel

    transformer = EasyAnimateTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=4,
        text_embed_dim=16,
        num_layers=3,
        sample_width=8,
        sample_height=8,
        patch_size=2,
    )
    vae = AutoencoderKLMagvit(
        down_block_types=("SpatialDownBlock3D", *("SpatialTemporalDownBlock3D",) * 3),
        up_block_types=("SpatialUpBlock3D", *("SpatialTemporalUpBlock3D",) * 3),
        block_out_channels=(4, 4, 4, 4),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
    )
    return assembled("EasyAnimatePipeline", transformer, vae=vae.eval())


def _stable_audio() -> Any:
    from diffusers import (
        AutoencoderOobleck,
        EDMDPMSolverMultistepScheduler,
        StableAudioDiTModel,
        StableAudioProjectionModel,
    )

    transformer = StableAudioDiTModel(
        sample_size=8,
        in_channels=3,
        num_layers=3,
        attention_head_dim=4,
        num_attention_heads=2,
        num_key_value_attention_heads=2,
        out_channels=3,
        cross_attention_dim=4,
        time_proj_dim=8,
        global_states_input_dim=8,
        cross_attention_input_dim=4,
    )
    vae = AutoencoderOobleck(
        encoder_hidden_size=6,
        downsampling_ratios=[1, 2],
        decoder_channels=3,
        decoder_input_channels=3,
        audio_channels=2,
        channel_multiples=[2, 4],
        sampling_rate=4,
    )
    return assembled(
        "StableAudioPipeline",
        transformer,
        vae=vae.eval(),
        projection_model=StableAudioProjectionModel(text_encoder_dim=4, conditioning_dim=4, min_value=0, max_value=32),
        scheduler=EDMDPMSolverMultistepScheduler(prediction_type="v_prediction", sigma_schedule="exponential"),
    )


def _plain_weights(pipe: Any) -> None:
    """Put the weights of the VAE together, as only then it can be copied."""
    for module in pipe.vae.modules():
        if hasattr(module, "weight_g"):
            torch.nn.utils.remove_weight_norm(module)


def _audio(n: int) -> dict[str, Any]:
    masks = masked(n, "attention_mask", "negative_attention_mask")
    return {**embedded(n, 4), **masks, "audio_end_in_s": 3.0, "output_type": "latent"}


_RESIZED = {"height": 48, "width": 64}

SYSTEMS = (
    tabled(
        "SkyReelsV2Pipeline",
        "SkyReelsV2Transformer3DModel",
        {**SMALL, **CHANNELS, **_LIKE_WAN, "text_dim": 16, "freq_dim": 16, "ffn_dim": 32},
        name="skyreels-v2",
        title="SkyReels V2",
        arguments=lambda n: {**embedded(n), "num_frames": 5, **sized()},
        resized=_RESIZED,
    ),
    tabled(
        "SanaVideoPipeline",
        "SanaVideoTransformer3DModel",
        {
            **SMALL,
            **CHANNELS,
            **_LIKE_WAN,
            "num_cross_attention_heads": 2,
            "cross_attention_head_dim": 12,
            "cross_attention_dim": 24,
            "caption_channels": 16,
            "sample_size": 8,
        },
        name="sana-video",
        title="Sana Video",
        arguments=_sana_video_arguments,
        resized={"height": 32, "width": 64},
    ),
    System(
        name="hunyuan-video",
        title="HunyuanVideo",
        pipeline="HunyuanVideoPipeline",
        build=_hunyuan_video,
        arguments=_hunyuan_video_arguments,
        resized=_RESIZED,
    ),
    System(
        name="mochi",
        title="Mochi",
        pipeline="MochiPipeline",
        build=_mochi,
        arguments=lambda n: {**embedded(n), **masked(n, *MASKS, kind=torch.bool), "num_frames": 7, **sized()},
        resized=_RESIZED,
    ),
    System(
        name="easyanimate",
        title="EasyAnimate 5",
        pipeline="EasyAnimatePipeline",
        build=_easyanimate,
        arguments=lambda n: {**embedded(n), **masked(n, *MASKS), "num_frames": 5, **sized()},
        resized=_RESIZED,
    ),
    System(
        name="stable-audio",
        title="Stable Audio Open",
        pipeline="StableAudioPipeline",
        build=_stable_audio,
        arguments=_audio,
        prepare=_plain_weights,
        resized={"audio_end_in_s": 2.0},
    ),
)
