"""Extractors by name: the real loading code, on tiny models in folders."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from fdplug import registry
from fdplug.errors import ConfigError, DataError, PipelineError
from fdplug.scores.features.clip import load_clip
from fdplug.scores.features.extractors import load_extractor
from fdplug.scores.features.inception import check_inception, load_inception, read_weights
from fdplug.scores.fid import Fid
from fdplug.scores.lpips import Lpips
from tests.scores.conftest import pictures

INSTALLED = all(find_spec(name) for name in ("torch_fidelity", "torchvision"))


def test_an_image_classifier_makes_features_and_classes(vit_folder):
    from transformers import AutoImageProcessor, ViTForImageClassification

    images = pictures(3, 20)
    extractor = load_extractor(vit_folder)
    model, processor = (
        ViTForImageClassification.from_pretrained(vit_folder),
        AutoImageProcessor.from_pretrained(vit_folder),
    )
    model.eval()
    with torch.no_grad():
        given = processor(images=[one.permute(1, 2, 0).numpy() for one in images], return_tensors="pt")
        hidden, logits = model.vit(**given).last_hidden_state, model(**given).logits
    torch.testing.assert_close(extractor.features(images), hidden.mean(1))
    torch.testing.assert_close(extractor.probabilities(images), logits.double().softmax(-1))
    assert (extractor.width, extractor.num_classes) == (16, 5)
    assert extractor.name.startswith("ViTForImageClassification-")


def test_a_clip_folder_makes_features_without_classes(clip_folder):
    from transformers import CLIPModel, CLIPProcessor

    images = pictures(2, 24)
    extractor = load_extractor(clip_folder)
    given = CLIPProcessor.from_pretrained(clip_folder)(
        images=[one.permute(1, 2, 0).numpy() for one in images], return_tensors="pt"
    )
    with torch.no_grad():
        expected = CLIPModel.from_pretrained(clip_folder).eval().get_image_features(**given).pooler_output
    torch.testing.assert_close(extractor.features(images), expected)
    with pytest.raises(ConfigError, match="the extractor 'CLIPModel' tells no classes"):
        extractor.probabilities(images)


def test_features_of_a_batch_are_made_once_and_shared(vit_folder, monkeypatch):
    extractor, images, calls = load_extractor(vit_folder), pictures(3, seed=7), []
    original = extractor.embed
    monkeypatch.setattr(extractor, "embed", lambda given: calls.append(len(given)) or original(given))
    first = extractor.features(images)
    first.zero_()
    assert extractor.features(images).abs().sum() > 0
    assert calls == [3]
    extractor.features(images.clone())
    assert calls == [3, 3]
    assert load_extractor(vit_folder) is extractor


def test_a_missing_model_is_one_line(tmp_path):
    for load, what in ((load_clip, "CLIP model"), (load_extractor, "vision model")):
        with pytest.raises(PipelineError, match=f"cannot load the {what}") as caught:
            load(str(tmp_path / "none"))
        assert len(str(caught.value).splitlines()) == 1


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_pickled_models_are_not_loaded_unless_allowed(vit_folder, tmp_path):
    import shutil

    from transformers import ViTForImageClassification

    folder = tmp_path / "pickled"
    shutil.copytree(vit_folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save(ViTForImageClassification.from_pretrained(vit_folder).state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(PipelineError, match="cannot load the vision model"):
        load_extractor(str(folder))
    assert load_extractor(str(folder), allow_pickle=True).width == 16


def test_weights_are_read_from_a_file_or_the_one_in_a_folder(tmp_path):
    from safetensors.torch import save_file

    tensors = {"a": torch.arange(3.0)}
    save_file(tensors, tmp_path / "w.safetensors")
    assert torch.equal(read_weights(tmp_path / "w.safetensors")["a"], tensors["a"])
    assert torch.equal(read_weights(tmp_path)["a"], tensors["a"])
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(DataError, match="holds 2 files of weights; name one of them"):
        read_weights(tmp_path)
    with pytest.raises(DataError, match=r"w.pth may be pickled; give .safetensors, or allow"):
        read_weights(tmp_path / "w.pth")
    assert torch.equal(read_weights(tmp_path / "w.pth", allow_pickle=True)["a"], tensors["a"])


def test_hostile_and_broken_weights_are_refused_even_where_pickles_are_allowed(tmp_path):
    torch.save({"a": _Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(DataError, match=r"cannot read the weights .*bomb.pth"):
        read_weights(tmp_path / "bomb.pth", allow_pickle=True)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(DataError, match="holds something else than named tensors"):
        read_weights(tmp_path / "list.pth", allow_pickle=True)
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(DataError, match=r"cannot read the weights .*cut.safetensors"):
        read_weights(tmp_path / "cut.safetensors")
    with pytest.raises(DataError, match=r"there are no weights|cannot read the weights"):
        read_weights(tmp_path / "none.safetensors")


@pytest.mark.skipif(INSTALLED, reason="the packages are installed")
def test_inception_and_lpips_say_what_to_install():
    with pytest.raises(ConfigError, match=r"FID's Inception needs .*pip install 'fdplug\[fid\]'.*another extractor"):
        check_inception()
    with pytest.raises(ConfigError, match="FID's Inception needs"):
        load_extractor("inception")
    with pytest.raises(ConfigError, match="FID's Inception needs"):
        Fid().check([])
    Fid("google/vit").check([])
    if find_spec("torchvision") is None:
        with pytest.raises(ConfigError, match=r"LPIPS needs torchvision: pip install 'fdplug\[fid\]'"):
            Lpips().check([])


@pytest.mark.skipif(not INSTALLED, reason="torch-fidelity and torchvision are not installed")
def test_inception_s_weights_come_from_a_safetensors_file(tmp_path):
    """Random weights of the right shapes, through torchmetrics' and torch-fidelity's own classes."""
    from safetensors.torch import save_file
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Network

    shapes = {}
    original, Network.load_state_dict = Network.load_state_dict, lambda self, weights: shapes.update(self.state_dict())
    try:
        torch.save({}, tmp_path / "empty.pth")
        Network("inception-v3-compat", ["2048"], str(tmp_path / "empty.pth"))
    finally:
        Network.load_state_dict = original
    weights = {key: torch.rand_like(one.float()) * 0.1 for key, one in shapes.items()}
    save_file({key: one.to(shapes[key].dtype).contiguous() for key, one in weights.items()}, tmp_path / "i.safetensors")
    extractor = load_inception(str(tmp_path / "i.safetensors"))
    images = pictures(2, 32)
    assert extractor.features(images).shape == (2, 2048)
    assert extractor.probabilities(images).shape == (2, 1008)
    assert torch.equal(extractor.network.fc.weight, weights["fc.weight"])
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(PipelineError, match="cannot load FID's Inception-v3"):
        load_inception(str(tmp_path / "other.safetensors"))


def test_scores_refuse_what_they_lack(vit_folder, clip_folder):
    for name in ("fid", "pr"):
        score = registry.build("score", {name: {"extractor": vit_folder}})
        score.load("cpu")
        with pytest.raises(ConfigError, match=f"'{name}' needs real images"):
            score.begin()
    first, second = (registry.build("score", {"clip": {"model": clip_folder}}) for _ in range(2))
    for score in (first, second):
        score.load("cpu")
    assert first.clip is second.clip
