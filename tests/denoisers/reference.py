"""The method step by step for systems beyond text-to-image: plain loops over modules, sharing no code with fdplug."""

from __future__ import annotations

import torch


def guide(noise, scale):
    """Classifier-free guidance over a batch of (without, with)."""
    without, given = noise.chunk(2)
    return without + scale * (given - without)


def embed(net, timestep, rows):
    """Time embedding of a U-Net or ControlNet."""
    return net.time_embedding(net.time_proj(timestep.reshape(1).expand(rows)).float())


def encode(unet, sample, emb, text, **extra):
    """Middle features and skips of a U-Net; `extra` reaches every block."""
    skips = [sample]
    for block in unet.down_blocks:
        given = {"encoder_hidden_states": text} if getattr(block, "has_cross_attention", False) else {}
        sample, more = block(hidden_states=sample, temb=emb, **given, **extra)
        skips += more
    return unet.mid_block(sample, emb, encoder_hidden_states=text, **extra), skips


def decode(unet, hidden, skips, emb, text, **extra):
    """Predicted noise from middle features and skips."""
    skips = list(skips)
    for block in unet.up_blocks:
        count = len(block.resnets)
        mine, skips = tuple(skips[-count:]), skips[:-count]
        given = {"encoder_hidden_states": text} if getattr(block, "has_cross_attention", False) else {}
        hidden = block(hidden_states=hidden, temb=emb, res_hidden_states_tuple=mine, **given, **extra)
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))


def prompts(pipe, words):
    """Text embeddings of (without, with)."""
    positive, negative = pipe.encode_prompt(words, "cpu", 1, True)
    return torch.cat([negative, positive])


@torch.no_grad()
def controlled(pipe, words, hint, steps, keys, guidance, seed):
    """ControlNet: net and encoder at key steps, their sum kept in between."""
    scheduler, net, generator = pipe.scheduler, pipe.controlnet, torch.Generator().manual_seed(seed)
    text = prompts(pipe, words)
    hint = torch.cat([hint, hint])
    scheduler.set_timesteps(steps)
    sample = torch.randn((1, 4, 8, 8), generator=generator)
    for index, timestep in enumerate(scheduler.timesteps):
        batch = torch.cat([sample, sample])
        emb = embed(pipe.unet, timestep, 2)
        if index in keys:
            middle, skips = encode(pipe.unet, pipe.unet.conv_in(batch), emb, text)
            own = embed(net, timestep, 2)
            start = net.conv_in(batch) + net.controlnet_cond_embedding(hint)
            centre, features = encode(net, start, own, text)
            added = [zero(one) for zero, one in zip(net.controlnet_down_blocks, features, strict=True)]
            kept = (
                middle + net.controlnet_mid_block(centre),
                [one + more for one, more in zip(skips, added, strict=True)],
            )
        noise = guide(decode(pipe.unet, *kept, emb, text), guidance)
        sample = scheduler.step(noise, timestep, sample).prev_sample
    return sample


@torch.no_grad()
def transformed(pipe, labels, steps, keys, leading, guidance, seed):
    """DiT: the leading blocks at key steps, what they hand on kept in between; latents."""
    model, scheduler, generator = pipe.transformer, pipe.scheduler, torch.Generator().manual_seed(seed)
    classes = torch.tensor([*labels, *[1000] * len(labels)])
    scheduler.set_timesteps(steps)
    sample = torch.randn((len(labels), 4, 8, 8), generator=generator)
    for index, timestep in enumerate(scheduler.timesteps):
        batch = torch.cat([sample, sample])
        times = timestep.expand(len(batch))
        if index in keys:
            kept = model.pos_embed(batch)
            for block in model.transformer_blocks[:leading]:
                kept = block(kept, timestep=times, class_labels=classes)
        hidden = kept
        for block in model.transformer_blocks[leading:]:
            hidden = block(hidden, timestep=times, class_labels=classes)
        emb = model.transformer_blocks[0].norm1.emb(times, classes, hidden_dtype=hidden.dtype)
        shift, scale = model.proj_out_1(torch.nn.functional.silu(emb)).chunk(2, dim=1)
        hidden = model.proj_out_2(model.norm_out(hidden) * (1 + scale[:, None]) + shift[:, None])
        side, patch = int(hidden.shape[1] ** 0.5), model.config.patch_size
        picture = hidden.reshape(len(batch), side, side, patch, patch, -1)
        picture = torch.einsum("nhwpqc->nchpwq", picture).reshape(len(batch), -1, side * patch, side * patch)
        given, without = picture[:, :4].chunk(2)
        sample = scheduler.step(without + guidance * (given - without), timestep, sample).prev_sample
    return sample


@torch.no_grad()
def filmed(pipe, words, frames, steps, keys, guidance, seed):
    """Text-to-video: a frame is a row, the temporal layer behind `conv_in` belongs to the encoder."""
    unet, scheduler, generator = pipe.unet, pipe.scheduler, torch.Generator().manual_seed(seed)
    text = prompts(pipe, words).repeat_interleave(frames, dim=0)
    scheduler.set_timesteps(steps)
    sample = torch.randn((1, 4, frames, 8, 8), generator=generator)
    for index, timestep in enumerate(scheduler.timesteps):
        batch = torch.cat([sample, sample]).permute(0, 2, 1, 3, 4).reshape(2 * frames, 4, 8, 8)
        emb = embed(unet, timestep, 2).repeat_interleave(frames, dim=0)
        if index in keys:
            start = unet.transformer_in(unet.conv_in(batch), num_frames=frames, return_dict=False)[0]
            kept = encode(unet, start, emb, text, num_frames=frames)
        noise = decode(unet, *kept, emb, text, num_frames=frames)
        noise = guide(noise.reshape(2, frames, 4, 8, 8).permute(0, 2, 1, 3, 4), guidance)
        flat = [one.permute(0, 2, 1, 3, 4).reshape(frames, 4, 8, 8) for one in (noise, sample)]
        moved = scheduler.step(flat[0], timestep, flat[1]).prev_sample
        sample = moved.reshape(1, frames, 4, 8, 8).permute(0, 2, 1, 3, 4)
    return sample
