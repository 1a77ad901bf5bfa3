"""Encoder propagation as a plain loop over U-Net modules and a scheduler: the truth, sharing no code with fdplug."""

from __future__ import annotations

import torch


def _time_embedding(unet, timestep, rows):
    timesteps = torch.as_tensor(timestep).reshape(1).expand(rows)
    return unet.time_embedding(unet.time_proj(timesteps).float())


def encode(unet, sample, timestep, text):
    """Middle features and skips of a cross-attention U-Net."""
    emb = _time_embedding(unet, timestep, len(sample))
    hidden = unet.conv_in(sample)
    skips = [hidden]
    for block in unet.down_blocks:
        if getattr(block, "has_cross_attention", False):
            hidden, more = block(hidden, emb, encoder_hidden_states=text)
        else:
            hidden, more = block(hidden, emb)
        skips += more
    return unet.mid_block(hidden, emb, encoder_hidden_states=text), skips


def decode(unet, hidden, skips, timestep, text):
    """Predicted noise from encoder features and the time of the step that is decoded."""
    emb = _time_embedding(unet, timestep, len(hidden))
    skips = list(skips)
    for block in unet.up_blocks:
        count = len(block.resnets)
        mine, skips = tuple(skips[-count:]), skips[:-count]
        if getattr(block, "has_cross_attention", False):
            hidden = block(hidden, mine, emb, encoder_hidden_states=text)
        else:
            hidden = block(hidden, mine, emb)
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))


@torch.no_grad()
def propagate(pipe, prompts, steps, keys, guidance=1.0, alpha=0.0, tau=0.5, seed=0):
    """Latents of the method, step by step: encoder at `keys`, its features reused in between, prior noise when late."""
    scheduler, generator = pipe.scheduler, torch.Generator().manual_seed(seed)
    guided = guidance > 1
    positive, negative = pipe.encode_prompt(prompts, "cpu", 1, guided)
    text = torch.cat([negative, positive]) if guided else positive
    scheduler.set_timesteps(steps)
    start = torch.randn((len(prompts), 4, 8, 8), generator=generator) * scheduler.init_noise_sigma
    sample = start
    features = None
    for index, timestep in enumerate(scheduler.timesteps):
        batch = torch.cat([sample, sample]) if guided else sample
        batch = scheduler.scale_model_input(batch, timestep)
        if index in keys:
            features = encode(pipe.unet, batch, timestep, text)
        hidden, skips = features
        noise = decode(pipe.unet, hidden.clone(), skips, timestep, text)  # FreeU writes into it
        if guided:
            without, withtext = noise.chunk(2)
            noise = without + guidance * (withtext - without)
        if float(timestep) / 1000 < tau:
            sample = sample + alpha * start * _scale(scheduler, index)
        extra = {"generator": generator} if _takes_generator(scheduler) else {}
        sample = scheduler.step(noise, timestep, sample, **extra).prev_sample
    return sample


def _scale(scheduler, index):
    """Schedulers that start from sigma-sized noise hold samples of variance 1 + sigma^2."""
    if float(scheduler.init_noise_sigma) == 1:
        return 1.0
    sigmas = scheduler.sigmas
    return float((1 + sigmas[index] ** 2).sqrt() / (1 + sigmas[0] ** 2).sqrt())


def _takes_generator(scheduler):
    import inspect

    return "generator" in inspect.signature(scheduler.step).parameters
