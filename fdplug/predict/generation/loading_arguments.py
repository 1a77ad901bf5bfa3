"""What `loading` says in a configuration, and what it makes of diffusers' own loaders: variants, quantization, files.

```yaml
loading:
  variant: fp16
  quantization_config: {quant_backend: bitsandbytes_4bit, quant_kwargs: {load_in_4bit: true}}
  components: {transformer: wan-q4.gguf}  # one component from a file of its own, which GGUF is for
```
```yaml
loading:
  pipeline: StableDiffusionControlNetPipeline  # the same weights in another pipeline
  components: {controlnet: lllyasviel/sd-controlnet-canny}  # one component from a folder or the hub
```
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fdplug.errors import ConfigError, PipelineError, suggestion
from fdplug.errors.wording import one_line, shown
from fdplug.files.source import is_folder

FROM_FILE = ("config", "original_config")
"""What only a model in a single file is loaded with."""
FOR_ALL = ("variant", "revision", "cache_dir", "local_files_only", "low_cpu_mem_usage", "device_map", "max_memory")
KNOWN = (*FOR_ALL, "quantization_config", "components", "pipeline", *FROM_FILE)
SINGLE = (".safetensors", ".gguf")
PICKLED = (".ckpt", ".pt", ".bin", ".pth")
_QUANTIZATION = ("quant_backend", "quant_kwargs", "components_to_quantize", "quant_mapping")


def check_loading(given: Any) -> dict[str, Any]:
    """Return the arguments of loading; refuse what is none of them.

    Raises:
        ConfigError: it is no mapping, a name is unknown, or code that comes with a model would run.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"loading is a mapping, as {{variant: fp16}}, got {shown(given)}")
    for name in given:
        if name in ("token", "use_auth_token"):
            raise ConfigError(
                "loading: a token would be written down with the images; set HF_TOKEN, or log in to the hub"
            )
        if name not in KNOWN:
            hint = suggestion(str(name), KNOWN, ";")
            raise ConfigError(f"loading: no argument {shown(name)}{hint} there are {', '.join(KNOWN)}")
    _check_quantization(given.get("quantization_config"))
    components = given.get("components") or {}
    if not isinstance(components, Mapping) or not all(isinstance(one, str) for one in components.values()):
        raise ConfigError(f"loading: components is a mapping of components to files, got {shown(components)}")
    for name, place in components.items():
        _check_place(name, place)
    named_pipeline(given)
    return dict(given)


def _check_place(name: str, place: str) -> None:
    """Refuse what is no file, no folder and no hub id to take a component from."""
    if Path(place).suffix in SINGLE:
        if not Path(place).is_file():
            raise ConfigError(f"loading: there is no file {place} for {name}")
        return
    if not is_folder(Path(place)) and (place.count("/") != 1 or place.startswith((".", "/", "~"))):
        files = " or ".join(SINGLE)
        raise ConfigError(f"loading: {name} comes from a {files} file, a folder or a hub id, got {shown(place)}")


def named_pipeline(given: Mapping[str, Any]) -> Any:
    """Return the class of pipelines that `loading` names; None where it names none.

    Raises:
        ConfigError: diffusers has no such class.
    """
    if given.get("pipeline") is None:
        return None
    found = stock_pipeline(str(given["pipeline"]))
    if found is None:
        raise ConfigError(f"loading: diffusers has no pipeline {shown(given['pipeline'])}; give the name of its class")
    return found


def stock_pipeline(name: str) -> Any:
    """Return diffusers' class of pipelines of this name; None where it has none."""
    import diffusers

    found = getattr(diffusers, name, None)
    return found if isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline) else None


def check_components(cls: Any, components: Mapping[str, str]) -> None:
    """Refuse a component that the pipeline has no place for: diffusers would leave it out.

    Args:
        cls: the class of the pipeline; None where it is not known.
        components: where each comes from, by its name.

    Raises:
        ConfigError: the class takes no component of that name.
    """
    known = {} if cls is None else inspect.signature(cls.__init__).parameters
    for name in components if known else ():
        if name not in known:
            raise ConfigError(
                f"loading: {cls.__name__} has no component '{name}'; if another class of pipelines has, name it: "
                "{pipeline: CLASS, components: ...}"
            )


def _check_quantization(given: Any) -> None:
    if given is None:
        return
    if not isinstance(given, Mapping) or not given or not set(given) <= set(_QUANTIZATION):
        raise ConfigError(
            f"loading: quantization_config holds {', '.join(_QUANTIZATION)}, as in diffusers' "
            f"PipelineQuantizationConfig, got {shown(given)}"
        )


def is_single_file(model: str) -> bool:
    """Whether a model is the name of a checkpoint in one file."""
    return Path(model).suffix.lower() in (*SINGLE, *PICKLED)


def check_single_file(model: str) -> None:
    """Refuse a checkpoint that is not there, or that can run code when it is loaded.

    Raises:
        PipelineError: one of these.
    """
    if Path(model).suffix.lower() in PICKLED:
        raise PipelineError(f"{model} can run code when it is loaded; convert it to .safetensors")
    if not Path(model).is_file():
        raise PipelineError(
            f"there is no file {model}; give a .safetensors checkpoint, a hub id, or a pipeline's folder"
        )


def from_pretrained_arguments(given: Mapping[str, Any], index: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `DiffusionPipeline.from_pretrained` is given, but for components from files.

    Args:
        given: what `check_loading` returned.
        index: what `model_index.json` holds; empty where that is not known.

    Raises:
        ConfigError: a package that quantizes is missing, or refuses its options.
    """
    found = {name: given[name] for name in FOR_ALL if name in given}
    if given.get("quantization_config") is not None:
        found["quantization_config"] = _quantization(given["quantization_config"], index)
    return found


def _quantization(given: Mapping[str, Any], index: Mapping[str, Any]) -> Any:
    from diffusers.quantizers import PipelineQuantizationConfig

    options = dict(given)
    try:
        if options.get("quant_mapping"):
            pairs = options["quant_mapping"].items()
            options["quant_mapping"] = {name: _of_component(name, spec, index) for name, spec in pairs}
        if options.get("quant_kwargs"):
            options["quant_kwargs"] = with_types(options.get("quant_backend", ""), options["quant_kwargs"])
        return PipelineQuantizationConfig(**options)
    except ConfigError:
        raise
    except Exception as error:  # packages that quantize raise what they like
        raise ConfigError(f"loading: quantization_config: {one_line(error, 240)}") from error


def _of_component(name: str, spec: Any, index: Mapping[str, Any]) -> Any:
    """Return the configuration of one component, of diffusers or of transformers, by where its class comes from."""
    from diffusers.quantizers import auto

    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise ConfigError(
            f"loading: quant_mapping: {name} is as in {{torchao: {{quant_type: ...}}}}, got {shown(spec)}"
        )
    ((backend, options),) = spec.items()
    known: Any = auto.AUTO_QUANTIZATION_CONFIG_MAPPING
    if index.get(name, ["diffusers"])[0] == "transformers":
        from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as known
    if backend not in known:
        raise ConfigError(
            f"loading: quant_mapping: no backend {shown(backend)} for {name}; there are {', '.join(known)}"
        )
    return known[backend](**with_types(backend, options or {}))


def with_types(backend: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the objects that YAML cannot hold: types of torch by name, and torchao's own settings."""
    import torch

    found = dict(options)
    for name, value in options.items():
        if name.endswith("dtype") and isinstance(value, str) and isinstance(getattr(torch, value, None), torch.dtype):
            found[name] = getattr(torch, value)
    if backend == "torchao" and isinstance(found.get("quant_type"), str | Mapping):
        found["quant_type"] = _torchao(found["quant_type"])
    return found


def _torchao(spec: str | Mapping[str, Any]) -> Any:
    """Return a setting of torchao by name, as `Int8WeightOnlyConfig`, or as {name: {option: value}}."""
    try:
        quantization = importlib.import_module("torchao.quantization")
    except ImportError as error:
        raise ConfigError("loading: torchao is not installed: pip install torchao") from error
    (name, options), *others = [(spec, {})] if isinstance(spec, str) else list(spec.items())
    made = getattr(quantization, name, None)
    if others or made is None:
        raise ConfigError(f"loading: torchao.quantization has no {shown(name)}; give one such as Int8WeightOnlyConfig")
    return made(**(options or {}))


def load_component(
    file: str, model: str, name: str, index: Mapping[str, Any], dtype: Any, allow_pickle: bool = False
) -> Any:
    """Return a component from a place of its own.

    Args:
        file: `.safetensors` or `.gguf`, with diffusers' names of weights or the original ones, whose configuration is
            that of the model; or a folder or hub id, which has its own.
        model: the hub id or folder with the configuration.
        name: the component, such as `transformer`.
        index: what `model_index.json` holds.
        dtype: of the weights; of GGUF, that in which is computed.
        allow_pickle: also load a folder's `.bin` files.

    Raises:
        ConfigError: the model has no such component, or its class cannot be loaded from a file.
    """
    import diffusers

    if Path(file).suffix not in SINGLE:
        safe = None if allow_pickle else True
        return diffusers.AutoModel.from_pretrained(file, torch_dtype=dtype, use_safetensors=safe)
    entry = index.get(name)
    cls = getattr(diffusers, str(entry[1]), None) if isinstance(entry, list) and len(entry) == 2 else None
    if not hasattr(cls, "from_single_file"):
        known = [one for one, value in index.items() if isinstance(value, list) and value[0] == "diffusers"]
        raise ConfigError(f"loading: {name} cannot be loaded from a file; the model has {', '.join(known) or 'none'}")
    options: dict[str, Any] = {"config": model, "subfolder": name, "torch_dtype": dtype}
    if file.endswith(".gguf"):
        options["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
    return cls.from_single_file(file, **options)
