"""U-Nets of other makers than Stable Diffusion's, at tiny size: Kandinsky, AudioLDM 2, I2VGen-XL, Stable Cascade."""

from __future__ import annotations

import inspect
from typing import Any

from fdplug import testing
from fdplug.testing.systems.controlnet import filled
from fdplug.testing.systems.from_embeddings import TOKENS, embedded, masked
from fdplug.testing.systems.stable_diffusion import SMALL
from fdplug.testing.systems.stable_diffusion_xl import text_encoder_with_projection
from fdplug.testing.systems.system import System, image_encoder, noise, picture, words

_WIDE = {"height": 48, "width": 64}


def _made(pipeline: str, **components: Any) -> Any:
    """Return a pipeline of these components; what it has besides is absent."""
    import diffusers

    cls = getattr(diffusers, pipeline)
    named = {name for name, one in inspect.signature(cls).parameters.items() if one.default is one.empty}
    return cls(**{**dict.fromkeys(named), **components})


def _movq() -> Any:
    """The VAE of Kandinsky, 8 pixels a latent."""
    from diffusers import VQModel

    return VQModel(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        num_vq_embeddings=8,
        vq_embed_dim=4,
    ).eval()


def _kandinsky22() -> Any:
    from diffusers import DDIMScheduler, UNet2DConditionModel

    unet = UNet2DConditionModel(
        in_channels=4,
        out_channels=8,
        addition_embed_type="image",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        block_out_channels=(8, 16),
        layers_per_block=1,
        encoder_hid_dim=16,
        encoder_hid_dim_type="image_proj",
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
        resnet_time_scale_shift="scale_shift",
        class_embed_type=None,
    ).eval()
    scheduler = DDIMScheduler(beta_schedule="linear", clip_sample=False, prediction_type="epsilon")
    return _made("KandinskyV22Pipeline", unet=unet, movq=_movq(), scheduler=scheduler)


def _kandinsky22_arguments(n: int) -> dict[str, Any]:
    negative = noise(1, 16, seed=99).expand(n, -1)
    sized = {"height": 64, "width": 64, "output_type": "latent"}
    return {"image_embeds": noise(n, 16), "negative_image_embeds": negative, **sized}


def _kandinsky3() -> Any:
    from diffusers import DDIMScheduler, Kandinsky3UNet

    unet = Kandinsky3UNet(
        in_channels=4,
        time_embedding_dim=8,
        groups=2,
        attention_head_dim=4,
        layers_per_block=3,
        block_out_channels=(16, 32),
        cross_attention_dim=8,
        encoder_hid_dim=16,
    ).eval()
    return _made("Kandinsky3Pipeline", unet=unet, movq=_movq(), scheduler=DDIMScheduler(clip_sample=False))


def _kandinsky3_arguments(n: int) -> dict[str, Any]:
    masks = masked(n, "attention_mask", "negative_attention_mask")
    return {**embedded(n), **masks, "height": 32, "width": 32, "output_type": "latent"}


def _sound_parts() -> dict[str, Any]:
    """VAE and vocoder of a spectrogram with eight frequencies."""
    from diffusers import AutoencoderKL, DDIMScheduler
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        in_channels=1,
        out_channels=1,
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
    ).eval()
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=8,
            sampling_rate=16000,
            upsample_initial_channel=16,
            upsample_rates=[2, 2],
            upsample_kernel_sizes=[4, 4],
            resblock_kernel_sizes=[3, 7],
            resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
            normalize_before=False,
        )
    ).eval()
    return {"vae": vae, "vocoder": vocoder, "scheduler": DDIMScheduler(clip_sample=False)}


def _audioldm2() -> Any:
    from diffusers import AudioLDM2UNet2DConditionModel
    from transformers import GPT2Config, GPT2Model, T5Config, T5EncoderModel

    unet = AudioLDM2UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=32,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=((None, 8, 16), (None, 8, 16)),
        attention_head_dim=4,
    ).eval()
    small = {"vocab_size": 8, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    components = {
        "unet": unet,
        "text_encoder_2": T5EncoderModel(T5Config(**small)).eval(),  # asked for its kind alone, as embeddings are given
        "language_model": GPT2Model(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=1)).eval(),
    }
    return _made("AudioLDM2Pipeline", **components, **_sound_parts())


def _audioldm2_arguments(n: int) -> dict[str, Any]:
    masks = masked(n, "attention_mask", "negative_attention_mask")
    generated = {
        "generated_prompt_embeds": noise(n, TOKENS, 8, seed=21),
        "negative_generated_prompt_embeds": noise(1, TOKENS, 8, seed=22).expand(n, -1, -1),
    }
    return {**embedded(n), **generated, **masks, "audio_length_in_s": 0.004, "output_type": "latent"}


def _musicldm() -> Any:
    """The U-Net is Stable Diffusion's class, but has no text to attend to: that stands where classes do."""
    from diffusers import UNet2DConditionModel
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=(8, 16),
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=16,
        class_embeddings_concat=True,
        attention_head_dim=4,
    ).eval()
    small = {"vocab_size": 8, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    text = ClapTextModelWithProjection(ClapTextConfig(**small, intermediate_size=16, projection_dim=16, **special))
    return _made("MusicLDMPipeline", unet=unet, text_encoder=text.eval(), **_sound_parts())


def _musicldm_arguments(n: int) -> dict[str, Any]:
    negative = noise(1, 16, seed=99).expand(n, -1)
    sized = {"audio_length_in_s": 0.004, "output_type": "latent"}
    return {"prompt_embeds": noise(n, 16), "negative_prompt_embeds": negative, **sized}


def _i2vgen_xl() -> Any:
    from diffusers import DDIMScheduler, I2VGenXLUNet

    unet = I2VGenXLUNet(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=8,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    ).eval()
    pipe = testing.tiny_pipeline(**SMALL)
    kept = {name: pipe.components[name] for name in ("vae", "text_encoder", "tokenizer")}
    return _made(
        "I2VGenXLPipeline",
        unet=unet,
        **image_encoder(),
        scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False),
        **kept,
    )


def _i2vgen_xl_arguments(n: int) -> dict[str, Any]:
    shown = {"image": picture(1, 16), "num_frames": 3, "height": 16, "width": 16}
    return {**embedded(n), **shown, "guidance_scale": 4.0, "output_type": "latent"}


def _cascade_unet(**changes: Any) -> Any:
    from diffusers.models import StableCascadeUNet

    settings: dict[str, Any] = {
        "conditioning_dim": 16,
        "block_out_channels": (8, 16),
        "num_attention_heads": (2, 2),
        "down_num_layers_per_block": (1, 2),
        "up_num_layers_per_block": (2, 1),
        "clip_text_pooled_in_channels": 16,
        "in_channels": 4,
        "out_channels": 4,
        "dropout": (0.0, 0.0),
        "timestep_ratio_embedding_dim": 8,
    }
    return filled(StableCascadeUNet(**{**settings, **changes})).eval()


def _cascade_parts() -> dict[str, Any]:
    from diffusers import DDPMWuerstchenScheduler

    return {
        "text_encoder": text_encoder_with_projection(),
        "tokenizer": testing.tiny_tokenizer(),
        "scheduler": DDPMWuerstchenScheduler(),
    }


def _cascade_prior() -> Any:
    unet = _cascade_unet(clip_text_in_channels=16, clip_image_in_channels=16, switch_level=(False,))
    return _made("StableCascadePriorPipeline", prior=unet, **_cascade_parts())


def _cascade_decoder() -> Any:
    unet = _cascade_unet(patch_size=2, effnet_in_channels=4, up_blocks_repeat_mappers=(2, 1))
    return _made("StableCascadeDecoderPipeline", decoder=unet, **_cascade_parts())


def _cascade_prior_arguments(n: int) -> dict[str, Any]:
    return {"prompt": words(n), "height": 512, "width": 512, "guidance_scale": 4.0}


def _cascade_decoder_arguments(n: int) -> dict[str, Any]:
    """The real one is not guided; guided here, so that both of its rows are seen."""
    return {"image_embeddings": noise(n, 4, 3, 3), "prompt": words(n), "guidance_scale": 2.0, "output_type": "latent"}


SYSTEMS = (
    System(
        name="kandinsky22",
        title="Kandinsky 2.2",
        pipeline="KandinskyV22Pipeline",
        build=_kandinsky22,
        arguments=_kandinsky22_arguments,
        resized={"height": 64, "width": 128},
        also="Kandinsky 2.1: the same U-Net",
    ),
    System(
        name="kandinsky3",
        title="Kandinsky 3",
        pipeline="Kandinsky3Pipeline",
        build=_kandinsky3,
        arguments=_kandinsky3_arguments,
        resized=_WIDE,
    ),
    System(
        name="audioldm2",
        title="AudioLDM 2",
        pipeline="AudioLDM2Pipeline",
        build=_audioldm2,
        arguments=_audioldm2_arguments,
        resized={"audio_length_in_s": 0.008},
    ),
    System(
        name="musicldm",
        title="MusicLDM",
        pipeline="MusicLDMPipeline",
        build=_musicldm,
        arguments=_musicldm_arguments,
        resized={"audio_length_in_s": 0.008},
        also="AudioLDM: the same U-Net",
    ),
    System(
        name="i2vgen-xl",
        title="I2VGen-XL",
        pipeline="I2VGenXLPipeline",
        build=_i2vgen_xl,
        arguments=_i2vgen_xl_arguments,
        largest=1,
    ),
    System(
        name="stable-cascade-prior",
        title="Stable Cascade, prior",
        pipeline="StableCascadePriorPipeline",
        build=_cascade_prior,
        arguments=_cascade_prior_arguments,
        resized={"height": 512, "width": 640},
    ),
    System(
        name="stable-cascade-decoder",
        title="Stable Cascade, decoder",
        pipeline="StableCascadeDecoderPipeline",
        build=_cascade_decoder,
        arguments=_cascade_decoder_arguments,
        resized={"image_embeddings": noise(1, 4, 3, 6)},
    ),
)
