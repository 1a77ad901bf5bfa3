"""The architectures of the `shapes` pipeline: SD v1.5's topology in miniature."""

from __future__ import annotations

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from fdplug.shapes.tokenizer import CONTEXT

TEXT_WIDTH = 96
LATENT_CHANNELS = 4
LATENT_SIZE = 16


def build_vae() -> AutoencoderKL:
    """Pictures (N, 3, 64, 64) to latents (N, 4, 16, 16); its posterior starts nearly deterministic."""
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        mid_block_add_attention=False,
        sample_size=64,
    )
    log_variance = vae.get_parameter("quant_conv.bias")[LATENT_CHANNELS:]
    nn.init.constant_(log_variance, -5.0)
    return vae


def build_text_encoder(vocabulary: int, width: int = TEXT_WIDTH) -> CLIPTextModel:
    """A two-layer CLIP text tower for word-level tokens (beginning 0, end and padding 1)."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            projection_dim=width,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )


def build_unet() -> UNet2DConditionModel:
    """The noise predictor: three cross-attention levels and a plain one, mirrored, as in SD v1.5."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        block_out_channels=(32, 64, 96, 128),
        layers_per_block=2,
        attention_head_dim=(2, 2, 4, 4),
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    """SD's noise schedule."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
