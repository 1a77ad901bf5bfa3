"""Pipelines by name: the embedded model, a hub id, or a local folder; safetensors only, and never remote code."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug.errors import FdplugError, PipelineError
from fdplug.files.json_text import read_json
from fdplug.files.schema import OBJECT, check
from fdplug.files.source import Source, is_file, is_folder
from fdplug.predict.generation.loading_arguments import (
    FROM_FILE,
    check_components,
    check_loading,
    check_single_file,
    from_pretrained_arguments,
    is_single_file,
    load_component,
    named_pipeline,
)
from fdplug.scores.features.loading import quiet_loading
from fdplug.shapes import GUIDANCE, MODELS, call_options, pipeline_folder
from fdplug.shapes import loading as embedded_loading

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "float16", "bfloat16")
LIBRARIES = ("diffusers", "transformers", None)


def check_model(model: str) -> None:
    """Refuse a model that is plainly not there, without loading anything.

    Raises:
        PipelineError: the folder is missing, is no pipeline, or brings its own code.
    """
    if is_single_file(model):
        check_single_file(model)
        return
    folder = _local_folder(model)
    if folder is None:
        return
    index = folder / "model_index.json"
    if not is_file(index):
        what = "does not exist" if not is_folder(folder) else "has no model_index.json, so it is no diffusers pipeline"
        raise PipelineError(f"the model folder {folder} {what}; {_ALLOWED}")
    _refuse_code(folder, index)


_ALLOWED = (
    f"a model is {' or '.join(map(repr, MODELS))}, a hub id such as stable-diffusion-v1-5/stable-diffusion-v1-5, a "
    "pipeline's folder, or a .safetensors file"
)


def load_pipeline(
    model: str,
    *,
    device: torch.device | str = "cpu",
    dtype: str = "float32",
    allow_pickle: bool = False,
    safety_checker: bool = True,
    needs_prompt: bool = True,
    loading: Mapping[str, Any] | None = None,
    components: Mapping[str, Any] | None = None,
    cls: Any = None,
) -> Any:
    """Load a pipeline.

    Args:
        model: the name of an embedded model, a hub id, or the folder of a diffusers pipeline.
        device: where it runs.
        dtype: `float32`, `float16`, `bfloat16`, or `auto` (float16 on a GPU, float32 elsewhere).
        allow_pickle: also load `.bin` files, which can run code when loaded.
        safety_checker: keep the pipeline's own safety checker if it has one; it blackens images.
        needs_prompt: refuse pipelines that take class labels, or nothing.
        loading: more arguments of loading, as `check_loading` takes them.
        components: components that are there already, and are not loaded.
        cls: the class of the pipeline; the model's own if left out.

    Raises:
        PipelineError: the pipeline cannot be loaded, or takes no prompt.
        ConfigError: an argument of loading is impossible.
    """
    check_model(model)
    given = _with_own(model, check_loading(loading))
    options: dict[str, Any] = {_dtype_argument(): resolve_dtype(dtype, device)}
    if not safety_checker:
        options |= {"safety_checker": None, "requires_safety_checker": False}
    options |= components or {}
    try:
        with quiet_loading():
            pipe = _loaded(model, given, allow_pickle, resolve_dtype(dtype, device), options, cls)
    except FdplugError:
        raise
    except Exception as error:
        raise PipelineError(_why_not(model, error)) from error
    if needs_prompt and "prompt" not in inspect.signature(pipe.__call__).parameters:
        raise PipelineError(f"{type(pipe).__name__} of '{model}' takes no prompt; a text-to-image pipeline is needed")
    pipe.set_progress_bar_config(disable=True)
    return pipe if given.get("device_map") else pipe.to(device)


def _loaded(
    model: str, given: Mapping[str, Any], allow_pickle: bool, dtype: Any, options: dict[str, Any], cls: Any
) -> Any:
    from diffusers import DiffusionPipeline

    if is_single_file(model):
        return _from_single_file(model, given, options)
    folder = _local_folder(model)
    place = str(folder or model)
    options = {**({} if folder is None else _absent(folder)), **options}
    components = given.get("components") or {}
    index = _index(model) if components or given.get("quantization_config") else {}
    cls = cls or named_pipeline(given)
    check_components(cls or pipeline_class(model), components)
    for name, file in components.items():
        options[name] = load_component(file, place, name, index, dtype, allow_pickle)
    return (cls or DiffusionPipeline).from_pretrained(
        place,
        use_safetensors=None if allow_pickle else True,
        trust_remote_code=False,
        **from_pretrained_arguments(given, index),
        **options,
    )


def _with_own(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model is loaded with: what is given, over what an embedded model is loaded with anyway."""
    own = embedded_loading(model) if model in MODELS else {}
    components = {**own.get("components", {}), **(given.get("components") or {})}
    return {**own, **given, **({"components": components} if components else {})}


def _from_single_file(model: str, given: Mapping[str, Any], options: dict[str, Any]) -> Any:
    """Return the pipeline of a checkpoint in one file, of the class that is named or that its configuration has.

    What the file does not hold, as those of large transformers hold no text encoders, comes from the configuration.
    """
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    config = given.get("config")
    cls: Any = named_pipeline(given) or (pipeline_class(config) if config else None)
    if not hasattr(cls, "from_single_file"):
        raise PipelineError(
            f"{model} is a checkpoint in one file: give the pipeline's class with it, as in loading: {{pipeline: "
            "StableDiffusionXLPipeline}, or the folder or hub id of its configuration, {config: FOLDER}"
        )
    named = {name: given[name] for name in (*FROM_FILE, "revision", "cache_dir", "local_files_only") if name in given}
    wanted = inspect.signature(cls).parameters
    fitting = {name: one for name, one in options.items() if _fits(name, wanted)}
    try:
        return cls.from_single_file(model, **named, **fitting)
    except SingleFileComponentError:
        if config is None:
            raise
    return _with_denoiser(model, config, given, options)


def _with_denoiser(file: str, config: str, given: Mapping[str, Any], options: dict[str, Any]) -> Any:
    """Return the pipeline of a configuration with the denoiser of a file, which holds nothing else."""
    from diffusers import DiffusionPipeline

    index = _index(config)
    name = "transformer" if "transformer" in index else "unet"
    place = str(_local_folder(config) or config)
    denoiser = load_component(file, place, name, index, next(iter(options.values())))
    rest = {key: given[key] for key in ("revision", "cache_dir", "local_files_only") if key in given}
    return DiffusionPipeline.from_pretrained(
        place, use_safetensors=True, trust_remote_code=False, **rest, **options, **{name: denoiser}
    )


def _fits(name: str, wanted: Mapping[str, Any]) -> bool:
    """Whether an option of loading is for this pipeline: types always, components where it has them."""
    return name.endswith("dtype") or name in wanted


def _why_not(model: str, error: Exception) -> str:
    """Say why a model cannot be loaded, and what to do about it."""
    chain: list[BaseException] = [error]
    while (earlier := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(earlier)
    if any("GatedRepo" in type(one).__name__ for one in chain) or "gated repo" in str(error):
        return (
            f"the model '{model}' is gated: accept its terms on https://huggingface.co/{model}, then log in with "
            "`hf auth login`, or set HF_TOKEN"
        )
    return f"cannot load the model '{model}': {_first_line(error)} ({_ALLOWED})"


def pipeline_class(model: str, loading: Mapping[str, Any] | None = None) -> Any:
    """Return the class of a model's pipeline, without weights; None where it is not to be had.

    Args:
        model: what `load_pipeline` takes.
        loading: the same of its loading, which may name another class than the model's `model_index.json`.
    """
    import diffusers

    if (named := named_pipeline(_with_own(model, loading or {}))) is not None:
        return named
    return getattr(diffusers, str(_index(model).get("_class_name")), None)


def predicts_flow(model: str) -> bool:
    """Whether a model comes with a scheduler for flows, by its `model_index.json` alone."""
    scheduler = _index(model).get("scheduler")
    return isinstance(scheduler, list) and str(scheduler[-1]).startswith("Flow")


def _index(model: str) -> dict[str, Any]:
    """Return what a model's `model_index.json` holds; nothing where it is not to be had."""
    import diffusers

    if is_single_file(model):
        return {}
    folder = _local_folder(model)
    try:
        if folder is None:
            index: Any = diffusers.DiffusionPipeline.load_config(model)
        else:
            index = read_json(Source(folder / "model_index.json", "index of the pipeline", _ALLOWED, PipelineError))
    except Exception:  # the hub's client has a dozen kinds, and loading says what is wrong
        return {}
    return index if isinstance(index, dict) else {}


def _dtype_argument() -> str:
    """`from_pretrained` of diffusers called it `torch_dtype` before 0.42."""
    import diffusers

    major, minor = (int(part) for part in diffusers.__version__.split(".")[:2])
    return "dtype" if (major, minor) >= (0, 42) else "torch_dtype"


def resolve_dtype(dtype: str, device: torch.device | str) -> torch.dtype:
    """The torch dtype behind a name; `auto` is float16 on a GPU and float32 elsewhere."""
    import torch

    if dtype == "auto":
        dtype = "float16" if torch.device(device).type == "cuda" else "float32"
    return getattr(torch, dtype)


def own_settings(model: str) -> dict[str, Any]:
    """What `GenerationConfig.resolved` fills in for an embedded model; nothing for any other."""
    return {"guidance": GUIDANCE, "arguments": call_options(model)} if model in MODELS else {}


def _local_folder(model: str) -> Path | None:
    """The folder that `model` names, or None for a hub id."""
    if model in MODELS:
        return pipeline_folder(model)
    path = Path(os.path.expanduser(model))
    looks_local = (
        path.is_absolute()
        or os.path.lexists(path)
        or model.startswith((".", "~"))
        or model.strip("/").count("/") != 1
        or model.endswith("/")
    )
    return path if looks_local else None


def _absent(folder: Path) -> dict[str, None]:
    """The parts that a pipeline was saved without, such as SD3's T5: diffusers wants to be told again."""
    return {name: None for name, value in _components(folder / "model_index.json").items() if value == [None, None]}


def _components(index: Path) -> dict[str, Any]:
    source = Source(index, "index of the pipeline", _ALLOWED, PipelineError)
    return check(source, OBJECT, read_json(source))


def _refuse_code(folder: Path, index: Path) -> None:
    """A folder may name classes of diffusers and transformers only."""
    components = _components(index)
    modules = {name: value[0] for name, value in components.items() if isinstance(value, list) and value}
    if not isinstance(components.get("_class_name"), str):
        raise PipelineError(f"{index} names a custom pipeline class; fdplug runs no code that comes with a model")
    for name, module in modules.items():
        own_file = any((folder / place / f"{module}.py").exists() for place in (name, "."))
        if module not in LIBRARIES and own_file:
            raise PipelineError(f"{index}: '{name}' brings its own code ({module}.py); fdplug runs none")


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return " ".join(text.split())[:300]
