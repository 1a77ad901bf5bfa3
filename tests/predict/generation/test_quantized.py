"""Models that diffusers loads quantized are propagated as any other; tests are skipped where a package is missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fdplug
from fdplug.errors import PipelineError
from fdplug.predict.generation import loading
from fdplug.predict.generation.loading import load_pipeline
from fdplug.testing import tiny_pipeline
from fdplug.testing.systems import SYSTEMS

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
FLUX = SYSTEMS["flux"]
FOUR_BITS = {
    "quant_backend": "bitsandbytes_4bit",
    "quant_kwargs": {"load_in_4bit": True, "bnb_4bit_compute_dtype": "float32"},
    "components_to_quantize": ["transformer"],
}


@pytest.fixture(scope="module")
def plain():
    pipe, other = FLUX.make(), tiny_pipeline()
    texts = {f"{name}{end}": getattr(other, name) for name in ("text_encoder", "tokenizer") for end in ("", "_2")}
    pipe.register_modules(**texts)
    return pipe


@pytest.fixture(scope="module")
def folder(plain, tmp_path_factory):
    made = tmp_path_factory.mktemp("flux")
    with loading.quiet_loading():
        plain.save_pretrained(made)
    return made


def propagated(pipe, **settings):
    with fdplug.propagate(pipe, **{"policy": {"uniform": {"interval": 3}}, "injector": "none", **settings}) as on:
        return FLUX.run(pipe), on.ledger.gflops()


def check(pipe, plain, kind, error):
    """Most layers are quantized, the picture is nearly the plain one, and every promise holds."""
    layers = [one for one in pipe.transformer.modules() if isinstance(one, torch.nn.Linear)]
    assert sum(kind in f"{type(one).__name__} {type(one.weight).__name__}" for one in layers) > len(layers) / 2
    own = FLUX.run(pipe)
    far = float((own - FLUX.run(plain)).abs().max())
    assert 0 < far < error
    assert torch.equal(propagated(pipe, policy="all")[0], own)
    (serial, cost), (parallel, _) = propagated(pipe, decoding="serial"), propagated(pipe, decoding="parallel")
    assert torch.allclose(serial, parallel, atol=1e-4)
    assert not torch.allclose(serial, own, atol=1e-2)
    assert cost == pytest.approx(propagated(plain, decoding="serial")[1], rel=1e-6)
    assert torch.equal(FLUX.run(pipe), own)


def test_torchao(plain, folder):
    pytest.importorskip("torchao")
    mapping = {"transformer": {"torchao": {"quant_type": "Int8WeightOnlyConfig"}}}
    pipe = load_pipeline(str(folder), loading={"quantization_config": {"quant_mapping": mapping}})
    check(pipe, plain, "Int8Tensor", 0.1)


def test_gguf(plain, folder, tmp_path):
    gguf = pytest.importorskip("gguf")
    file, eight = tmp_path / "flux-Q8_0.gguf", gguf.GGMLQuantizationType.Q8_0
    writer = gguf.GGUFWriter(str(file), "flux")
    for name, value in plain.transformer.state_dict().items():
        numbers = value.numpy().astype(np.float32)
        if numbers.ndim == 2 and numbers.shape[1] % 32 == 0:
            writer.add_tensor(name, gguf.quants.quantize(numbers, eight), raw_dtype=eight)
        else:
            writer.add_tensor(name, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    pipe = load_pipeline(str(folder), dtype="float32", loading={"components": {"transformer": str(file)}})
    check(pipe, plain, "GGUFLinear", 0.1)


def test_bitsandbytes(plain):
    """Diffusers loads it on GPUs only; its layers, as diffusers puts them in, run on a CPU as well."""
    bits = pytest.importorskip("bitsandbytes")
    pipe = FLUX.make()
    for block in (*pipe.transformer.transformer_blocks, *pipe.transformer.single_transformer_blocks):
        for name, module in [(n, m) for n, m in block.named_modules() if isinstance(m, torch.nn.Linear)]:
            parent, _, last = name.rpartition(".")
            made = bits.nn.Linear4bit(module.in_features, module.out_features, compute_dtype=torch.float32)
            made.load_state_dict(module.state_dict())
            setattr(block.get_submodule(parent), last, made.to("cpu"))
    check(pipe, plain, "Linear4bit", 2.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is what it needs")
def test_bitsandbytes_without_a_gpu_is_said(folder):
    pytest.importorskip("bitsandbytes")
    with pytest.raises(PipelineError, match="A GPU is needed for quantization"):
        load_pipeline(str(folder), loading={"quantization_config": FOUR_BITS})
