"""What the processes of test_split.py do: everything in one start, results in files."""

from __future__ import annotations

import os
import sys
import warnings
from datetime import timedelta
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.modules.module import register_module_forward_hook

import fdplug
from fdplug.errors import ConfigError, FdplugError
from fdplug.testing import latents, tiny_pipeline
from fdplug.testing.systems import SYSTEMS

RANKS = 2
KEYS = [0, 1, 4]
STEPS = 9
POLICY = {"explicit": {"steps": KEYS}}  # spans of 1, 3 and 5 steps


def stable_diffusion(**arguments):
    pipe = tiny_pipeline()
    return pipe, lambda: latents(pipe, **{"num_inference_steps": STEPS, **arguments})


def dpm_solver():
    from diffusers import DPMSolverMultistepScheduler

    pipe, run = stable_diffusion()
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    return pipe, run


def system(name):
    pipe = SYSTEMS[name].make()
    return pipe, lambda: SYSTEMS[name].run(pipe, n=2, num_inference_steps=STEPS)


CASES = {
    "guided": (stable_diffusion, {}),
    "unguided": (lambda: stable_diffusion(guidance_scale=1.0), {"injector": "none"}),
    "three images": (lambda: stable_diffusion(prompt=["a red circle", "a blue square", "a circle"]), {}),
    "dpm-solver++": (dpm_solver, {}),
    "short spans": (stable_diffusion, {"max_span_batch": 2}),
    "every step a key step": (stable_diffusion, {"policy": "all", "injector": "none"}),
    "sdxl": (lambda: system("sdxl"), {}),
    "controlnet": (lambda: system("controlnet"), {}),
}
COMPILED = {"compiled": (stable_diffusion, {"transforms": [{"compile": {"backend": "eager"}}]})}


NOTING = """
def noting(module, rows):
    return lambda called, args, _output: rows.append(len(args[0])) if called is module else None
"""


def tally(module, rows):
    """Note how many rows go through a module; by a hook of all modules, from a package that is known to be row-wise."""
    package: Any = sys.modules.setdefault("fdplug_tally", ModuleType("fdplug_tally"))  # torch.compile looks for it
    exec(NOTING, vars(package))
    return register_module_forward_hook(package.noting(module, rows))


def measured(pipe, run, **settings):
    """One run: its result, its ledger, and what hooks in an encoder and a decoder block saw."""
    encoded, decoded = [], []
    with fdplug.propagate(pipe, **{"policy": POLICY, **settings}) as on:
        hooks = [tally(pipe.unet.down_blocks[0].resnets[0], encoded), tally(pipe.unet.up_blocks[0].resnets[0], decoded)]
        result = run()
        for hook in hooks:
            hook.remove()
        return {
            "latents": result,
            "key_steps": on.ledger.key_steps,
            "steps": on.ledger.steps,
            "rows": (on.ledger.rows("conv_in"), on.ledger.rows("", "unet")),
            "seen": (sum(encoded), sum(decoded)),
            "ledger": on.ledger,
            "received": on.ledger.received,
        }


def complaint(pipe, run, **settings):
    """The error that a run ends with, and whether the pipeline is as before afterwards."""
    try:
        with fdplug.propagate(pipe, **{"policy": POLICY, "decoding": fdplug.split_decode(), **settings}):
            run()
    except FdplugError as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def disagreements(rank):
    """Runs in which the second process does something else."""
    pipe, run = stable_diffusion()
    yield "noise", complaint(pipe, lambda: latents(pipe, seed=rank, num_inference_steps=STEPS))
    yield "steps", complaint(pipe, lambda: latents(pipe, num_inference_steps=STEPS + rank))
    yield "prompt", complaint(pipe, lambda: latents(pipe, ["a red circle", "a blue circle"][rank]))
    yield "size", complaint(pipe, lambda: latents(pipe, height=16 + 16 * rank, width=16, num_inference_steps=STEPS))
    yield "alpha", complaint(pipe, run, injector={"prior": {"alpha": 0.01 * (1 + rank)}})
    yield "keys", complaint(pipe, run, policy={"uniform": {"interval": 2 + rank}})
    other = tiny_pipeline(seed=rank)
    yield "weights", complaint(other, lambda: latents(other))
    yield "random", complaint(*unseeded(rank))
    yield "agreement", complaint(pipe, run)


def unseeded(rank):
    """A stochastic scheduler whose noise is another one in every process, from the same first sample."""
    from diffusers import DDPMScheduler

    pipe = tiny_pipeline()
    pipe.scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    start = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))

    def run():
        torch.manual_seed(rank)
        return pipe("a red circle", latents=start, num_inference_steps=STEPS, output_type="latent").images

    return pipe, run


def refusals(rank):
    """Settings with which a span cannot be divided."""
    pipe, run = stable_diffusion()
    yield "part", complaint(pipe, run, part="decoder", policy={"uniform": {"interval": 2}})
    yield "budget", complaint(pipe, run, max_span_batch="auto")
    alone = dist.new_group([0])
    try:
        split = fdplug.split_decode(alone)
    except ConfigError as error:
        yield "alone", str(error)
    else:
        result = measured(pipe, run, decoding=split)
        yield "alone", {name: result[name] for name in ("latents", "received")}


def death(rank):
    """The second process ends in the middle of a run."""
    pipe, _ = stable_diffusion()

    def leave(_pipe, step, _timestep, tensors):
        if rank == 1 and step == 2:
            os._exit(0)
        return tensors

    return complaint(pipe, lambda: latents(pipe, num_inference_steps=STEPS, callback_on_step_end=leave))


def undone(rank):
    """A run before, and one after propagation was on."""
    pipe, run = stable_diffusion()
    before, names = run(), set(vars(pipe.unet)) | set(vars(pipe.scheduler))
    measured(pipe, run, decoding=fdplug.split_decode())
    return torch.equal(run(), before) and names == set(vars(pipe.unet)) | set(vars(pipe.scheduler))


def meet(rank, folder):
    """Join the two processes; return what divides a span among them."""
    torch.set_num_threads(1)
    warnings.filterwarnings("error", category=FutureWarning, module="torch.distributed")
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS, timeout=timedelta(seconds=120)
    )
    return fdplug.split_decode()


def divided(split, cases):
    """What every case measures, its GFLOPs in place of its ledger."""
    results = {name: measured(*make(), decoding=split, **settings) for name, (make, settings) in cases.items()}
    for result in results.values():
        result["gflops"] = result.pop("ledger").gflops()
    return results


def work(rank, folder):
    results = divided(meet(rank, folder), CASES)
    results |= {"undone": undone(rank), "disagreements": dict(disagreements(rank)), "refusals": dict(refusals(rank))}
    torch.save(results, f"{folder}/{rank}.pt")
    torch.save(death(rank), f"{folder}/death.pt")
    dist.destroy_process_group()


def work_compiled(rank, folder):
    torch.save(divided(meet(rank, folder), COMPILED), f"{folder}/{rank}.pt")
    dist.destroy_process_group()
