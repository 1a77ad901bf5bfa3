"""Which plugins may work together: what one needs, what one excludes, and what a base class said before."""

from __future__ import annotations

from typing import ClassVar

import pytest

from fdplug import propagate
from fdplug.errors import StackError
from fdplug.injectors import PriorNoise
from fdplug.stacking import Layer, Stackable, check_stack
from fdplug.testing import tiny_pipeline


class Plain(Stackable):
    pass


class Provider(Stackable):
    provides = frozenset({"answers"})


class Needy(Stackable):
    needs: ClassVar = {"answers": "it asks"}


class Shy(Stackable):
    excludes: ClassVar = {"answers": "it will not hear them", "transform:loud": "it is too loud"}


class Shyer(Shy):
    excludes: ClassVar = {"policy:plain": "it is plain"}


def layers(**plugins):
    return [Layer(title.replace("_", ":"), plugin) for title, plugin in plugins.items()]


def test_what_says_nothing_goes_with_everything():
    check_stack(layers(policy_plain=Plain(), transform_other=Plain(), cache_provider=Provider()))


def test_a_need_is_met_by_a_plugin_or_by_a_fact():
    check_stack(layers(policy_needy=Needy(), cache_provider=Provider()))
    check_stack(layers(policy_needy=Needy()), frozenset({"answers"}))
    with pytest.raises(StackError, match=r"needs .*answers.*, which nothing here provides: it asks"):
        check_stack(layers(policy_needy=Needy(), cache_plain=Plain()))


@pytest.mark.parametrize("other", [{"cache_provider": Provider()}, {"transform_loud": Plain()}])
def test_what_is_excluded_is_refused_with_the_reason(other):
    with pytest.raises(StackError, match=r"cannot be combined: it (will not hear them|is too loud)"):
        check_stack(layers(policy_shy=Shy(), **other))


def test_a_subclass_says_what_its_base_class_says():
    for plugins in ({"policy_plain": Plain()}, {"cache_provider": Provider()}):
        with pytest.raises(StackError, match="cannot be combined"):
            check_stack(layers(transform_shyer=Shyer(), **plugins))


def test_nothing_excludes_itself():
    class Alone(Stackable):
        provides = frozenset({"alone"})
        excludes: ClassVar = {"alone": "there can be one"}

    check_stack(layers(policy_alone=Alone()))
    with pytest.raises(StackError, match="there can be one"):
        check_stack(layers(policy_alone=Alone(), transform_alone=Alone()))


def test_one_is_not_used_twice():
    with pytest.raises(StackError, match="named twice; once is enough"):
        check_stack([*layers(transform_x=Plain()), *layers(transform_x=Plain())])


@pytest.mark.parametrize(
    ("settings", "ahead"),
    [({}, True), ({"decoding": "serial"}, False), ({"guidance": "adaptive"}, False)],
    ids=["parallel", "serial", "decided as it goes"],
)
def test_how_spans_are_decoded_is_a_fact(settings, ahead):
    class Watching(PriorNoise):
        """Would look at every step as it is decoded."""

        name = "watching"
        excludes: ClassVar = {"decoded-ahead" if ahead else "serial": "it would see nothing"}

    class Content(PriorNoise):
        """Goes with what there is."""

        name = "content"
        excludes: ClassVar = {"serial" if ahead else "decoded-ahead": "it would see nothing"}

    pipe = tiny_pipeline()
    with pytest.raises(StackError, match="cannot be combined: it would see nothing"):
        propagate(pipe, injector=Watching(), **settings)
    with propagate(pipe, injector=Content(), **settings):
        pass
