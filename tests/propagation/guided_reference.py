"""Guidance as a plain loop, each prediction a call of its own: the truth, sharing no code with fdplug."""

from __future__ import annotations

import numpy as np
import torch

from tests.propagation.reference import decode, encode


def off(now, conditional, seen):
    """No guidance."""
    return conditional


def kept(now, conditional, seen):
    """The difference of the last full step."""
    _, one, other = seen[-1]
    return conditional - (one - other)


def on_a_line(now, conditional, seen):
    """The differences of the last two full steps, continued in noise time."""
    if len(seen) < 2:
        return kept(now, conditional, seen)
    (before, a, b), (last, c, d) = seen[-2:]
    slope = ((c - d) - (a - b)) / (last - before)
    return conditional - ((c - d) + slope * (now - last))


class Affine:
    """d(t) = a (c(t) - c(t-1)) + b d(t-1), fitted by numpy over the full steps, for each row."""

    def __init__(self):
        self.last = None

    def __call__(self, now, conditional, seen):
        rows = []
        for row in range(len(conditional)):
            c = [one[row].double().flatten().numpy() for _, one, _ in seen]
            d = [(one[row] - other[row]).double().flatten().numpy() for _, one, other in seen]
            x = np.concatenate([np.stack([c[i] - c[i - 1], d[i - 1]], 1) for i in range(1, len(c))])
            weights, *_ = np.linalg.lstsq(x, np.concatenate(d[1:]), rcond=None)
            before = (c[-1], d[-1]) if self.last is None else self.last[row]
            new = conditional[row].double().flatten().numpy()
            rows.append((new, weights[0] * (new - before[0]) + weights[1] * before[1]))
        self.last = rows
        difference = torch.tensor(np.stack([one for _, one in rows])).reshape(conditional.shape)
        return conditional - difference.float()


class Features:
    """What is kept of one prompt's encoder."""

    def __init__(self, text):
        self.text, self.step, self.held = text, -1, None


@torch.no_grad()
def guided(pipe, prompts, steps, full, make=off, scale=7.5, keys=None, seed=0):
    """Latents of a run, (noise time, conditional, unconditional) at its full steps, and how many rows ran.

    `full` names the full steps, `make` what stands for the unconditional prediction elsewhere; `scale` is a number or a
    function of the step; `keys` are the key steps of encoder propagation, None: all.
    """
    scheduler, generator = pipe.scheduler, torch.Generator().manual_seed(seed)
    texts = [Features(text) for text in pipe.encode_prompt(prompts, "cpu", 1, True)]
    scheduler.set_timesteps(steps)
    sample = torch.randn((len(prompts), 4, 8, 8), generator=generator) * scheduler.init_noise_sigma
    seen, rows = [], 0
    for index, timestep in enumerate(scheduler.timesteps):
        given = scheduler.scale_model_input(sample, timestep)
        is_full = index in full
        running = texts if is_full else texts[:1]
        if keys is None or index in keys or any(one.step != texts[0].step or one.held is None for one in running):
            for one in running:
                one.step, one.held = index, encode(pipe.unet, given, timestep, one.text)
        made = [decode(pipe.unet, one.held[0].clone(), one.held[1], timestep, one.text) for one in running]
        rows += len(made) * len(prompts)
        now = float(timestep) / 1000
        if is_full:
            seen.append((now, *made))
        conditional, without = made if is_full else (made[0], make(now, made[0], seen))
        strength = scale(index) if callable(scale) else scale
        sample = scheduler.step(without + strength * (conditional - without), timestep, sample).prev_sample
    return sample, seen, rows
