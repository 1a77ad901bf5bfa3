"""Built-in families run through the checks that third parties use, and those do find faults."""

from __future__ import annotations

import pytest

from fdplug.denoisers import Part
from fdplug.denoisers.unet_2d_condition import UNet2DCondition
from fdplug.errors import ConfigError, PluginClashError, PluginError, PropagationError, StackError
from fdplug.injectors import NoNoise
from fdplug.lookup import find_part
from fdplug.parts import PartRule
from fdplug.pipeline import propagate
from fdplug.stacking import Layer, Stackable, check_stack
from fdplug.testing import check_family, check_part, latents, registered, tiny_pipeline
from fdplug.transforms import NoTransform


def test_the_familys_parts_propagate():
    check_family(UNet2DCondition(), tiny_pipeline)


class Lost(UNet2DCondition):
    """Names a module that is not there."""

    def parts(self, denoiser):
        yield Part(name="encoder", modules=("stem",), sample_free=True)


class Nested(UNet2DCondition):
    """Names a module inside another."""

    def parts(self, denoiser):
        yield Part(name="encoder", modules=("mid_block", "mid_block.resnets.0"), sample_free=True)


class Boasting(UNet2DCondition):
    """Says that the sample is not needed where it is."""

    name = "unet-2d-condition"

    def parts(self, denoiser):
        yield Part(name="encoder", modules=("mid_block",), sample_free=True)


class Deaf(UNet2DCondition):
    """Names an argument that is not there."""

    conditioning = ("prompt",)


class Foreign(UNet2DCondition):
    """Knows another class."""

    models = ("diffusers.UNet3DConditionModel",)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (Lost, "names stem, which UNet2DConditionModel does not have"),
        (Nested, "lies inside"),
        (Boasting, "parallel and serial decoding must agree"),
        (Deaf, "no argument prompt"),
        (Foreign, "is none of diffusers.UNet3DConditionModel"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_check_finds_faults(family, message, monkeypatch):
    monkeypatch.setattr(UNet2DCondition, "parts", family.parts)
    with pytest.raises(AssertionError, match=message):
        check_family(family() if family not in (Lost, Nested, Boasting) else UNet2DCondition(), tiny_pipeline)


class Middle(PartRule):
    """The middle block."""

    name = "middle"

    def part(self, family, denoiser):
        return Part(name="middle", modules=("mid_block",), sample_free=False)


def part_rule(label, *modules):
    class Made(PartRule):
        """Made by a test."""

        name = label

        def part(self, family, denoiser):
            return Part(name=label, modules=modules, sample_free=False)

    return Made


def test_a_part_from_a_plugin_propagates():
    check_part(Middle())


def test_a_part_is_found_by_name_among_those_of_plugins(pipe):
    with registered("part", Middle):
        assert find_part("middle", UNet2DCondition(), pipe.unet)[0].modules == ("mid_block",)
        with pytest.raises(ConfigError, match=r"no part 'mittle' .* it has encoder, .*; plugins add middle"):
            find_part("mittle", UNet2DCondition(), pipe.unet)
    with pytest.raises(ConfigError, match="no part 'middle'"):
        find_part("middle", UNet2DCondition(), pipe.unet)


def test_a_plugin_cannot_take_the_name_of_a_familys_part(pipe):
    with (
        registered("part", part_rule("encoder", "mid_block")),
        pytest.raises(PluginClashError, match=r"'encoder' is family 'unet-2d-condition''s own and also .* of a test"),
    ):
        propagate(pipe)


@pytest.mark.parametrize(
    ("modules", "error", "message"),
    [((), PropagationError, "holds no module"), (("stem",), PluginError, "names stem, which UNet2D")],
)
def test_a_part_that_does_not_fit_the_denoiser(pipe, modules, error, message):
    with pytest.raises(error, match=message):
        propagate(pipe, part=part_rule("odd", *modules)())


class Picky(Stackable):
    provides = frozenset({"light"})
    needs = {"whole-tokens": "it cannot read merged ones"}  # noqa: RUF012
    excludes = {"transform:tome": "both choose tokens"}  # noqa: RUF012


class Pickier(Picky):
    needs = {"light": "it reads"}  # noqa: RUF012


def test_stacks_are_checked_by_what_plugins_say():
    picky, other = Layer("cache:picky", Picky()), Layer("policy:other", Stackable())
    with pytest.raises(StackError, match="cache 'picky' needs 'whole-tokens', which nothing here provides: it cannot"):
        check_stack([picky, other])
    check_stack([picky, other], frozenset({"whole-tokens"}))
    tome = Layer("transform:tome", Stackable())
    with pytest.raises(StackError, match="cache 'picky' and transform 'tome' cannot be combined: both choose tokens"):
        check_stack([picky, tome], frozenset({"whole-tokens"}))
    with pytest.raises(StackError, match="transform 'tome' is named twice"):
        check_stack([tome, tome])


def test_what_a_base_class_needs_holds_for_subclasses():
    with pytest.raises(StackError, match="whole-tokens"):
        check_stack([Layer("cache:pickier", Pickier())])


def test_propagate_checks_its_stack(pipe, monkeypatch):
    monkeypatch.setattr(NoNoise, "needs", {"transform:none": "as a test"})
    with pytest.raises(StackError, match=r"injector 'none' needs transform 'none', .*: as a test"):
        propagate(pipe, injector="none")
    with propagate(pipe, injector="none", transforms=[NoTransform()]):
        latents(pipe)
