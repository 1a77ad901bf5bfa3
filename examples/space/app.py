"""A demo in the browser: the embedded model as it is, accelerated, and with fewer steps, for a budget that you choose.

```bash
pip install 'fdplug[demo]'
python examples/space/app.py        # then open the address that it prints
```
"""

from __future__ import annotations

import html
import time
from typing import Any

import gradio as gr
import torch
from diffusers import StableDiffusionPipeline

import fdplug
from fdplug import shapes

STEPS = 50
SIDE = 256
PROMPTS = (
    "a small checked black circle on a speckled background",
    "a large dotted black cross below a small plain blue triangle on a ribbed background",
    "a small plain red circle above a large striped blue diamond on a gray background",
)
METHODS = {
    "trunk: all but the output head is replayed": lambda calls: {
        "part": "trunk",
        "policy": {"early": {"count": calls}},
        "injector": "none",
    },
    "encoder: the paper's idea, spans in one batch": lambda calls: {"policy": {"uniform": {"count": calls}}},
}
WORDS = "Every picture begins with the same noise. Dark: the step was computed; light: its features were replayed."


def load() -> Any:
    """Return the embedded pipeline."""
    pipe = StableDiffusionPipeline.from_pretrained(shapes.pipeline_folder(), safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def strip(steps: int, key_steps: Any) -> str:
    """Return a run drawn as a strip, a cell a step, from what the ledger noted."""
    cells = "".join(
        f'<rect x="{step * 14}" width="12" height="22" fill="{"#0b5cad" if step in key_steps else "#98a2b3"}"/>'
        for step in range(steps)
    )
    says = f"{len(key_steps)} of {steps} steps computed"
    return f'<svg viewBox="0 0 {steps * 14} 22" width="100%" role="img" aria-label="{says}">{cells}</svg>'


def told(title: str, seconds: float, gflops: float, ledger: Any) -> str:
    """Return what is said below the pictures of one run."""
    drawn = strip(ledger.num_steps, ledger.key_steps)
    return f"<p><b>{html.escape(title)}</b>: {gflops:.1f} GFLOPs, {seconds:.2f} s</p>{drawn}"


class Demo:
    """The pipeline, and one run of it after another."""

    def __init__(self) -> None:
        self.pipe = load()

    def run(self, prompt: str, steps: int, guidance: float, seed: int, settings: dict[str, Any]) -> tuple[Any, str]:
        """Return a picture and what is said about it."""
        title = settings.pop("title")
        began = time.perf_counter()
        with fdplug.propagate(self.pipe, **settings) as on:
            generator = torch.Generator().manual_seed(int(seed))
            image = self.pipe(prompt, num_inference_steps=steps, guidance_scale=guidance, generator=generator).images[0]
        seconds = time.perf_counter() - began
        return image.resize((SIDE, SIDE), 0), told(title, seconds, on.ledger.gflops(), on.ledger)

    def compare(self, prompt: str, calls: float, guidance: float, seed: float, method: str) -> tuple[Any, ...]:
        """Return three pictures, and the ledgers of their runs."""
        calls = int(calls)
        plain = {"policy": "all", "injector": "none"}
        if not prompt.strip():
            raise gr.Error("Give a prompt, such as one of the examples")
        runs = (
            (STEPS, {"title": f"as it is, {STEPS} steps", **plain}),
            (STEPS, {"title": f"accelerated, {calls} of {STEPS} steps computed", **METHODS[method](calls)}),
            (calls, {"title": f"just fewer steps: {calls}", **plain}),
        )
        made = [self.run(prompt, steps, guidance, int(seed), settings) for steps, settings in runs]
        return (*(image for image, _ in made), "".join(text for _, text in made))


def page() -> gr.Blocks:
    """Return the page."""
    demo = Demo()
    with gr.Blocks(title="fdplug") as made:
        gr.Markdown(f"# fdplug\n\n{WORDS} The model is the small `shapes` of the package; nothing is downloaded.")
        with gr.Row():
            prompt = gr.Textbox(PROMPTS[0], label="Prompt", scale=3)
            method = gr.Dropdown(list(METHODS), value=next(iter(METHODS)), label="What is replayed", scale=2)
        with gr.Row():
            calls = gr.Slider(4, STEPS, 16, step=1, label="Budget: steps that are computed")
            guidance = gr.Slider(1, 10, 4, step=0.5, label="Guidance")
            seed = gr.Slider(0, 100, 4, step=1, label="Seed")
        button = gr.Button("Generate", variant="primary")
        with gr.Row():
            pictures = [gr.Image(label=label, type="pil") for label in ("as it is", "accelerated", "fewer steps")]
        ledger = gr.HTML(label="The ledger")
        gr.Examples([[one] for one in PROMPTS], [prompt])
        button.click(demo.compare, [prompt, calls, guidance, seed, method], [*pictures, ledger], api_name="compare")
    return made


if __name__ == "__main__":
    page().launch()
