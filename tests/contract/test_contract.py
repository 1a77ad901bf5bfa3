"""Every built-in plugin runs through the checks that third parties use, and those do find faults."""

from __future__ import annotations

import pytest
import torch

from fdplug import registry
from fdplug.caches import Drop, Reuse
from fdplug.guidance import Cached, First
from fdplug.injectors import PriorNoise
from fdplug.policies import AdaptivePolicy, Uniform
from fdplug.samplers import Ddim
from fdplug.testing import (
    check_cache,
    check_guidance,
    check_injector,
    check_policy,
    check_sampler,
    check_transform,
    tiny_pipeline,
    transform_checks,
)
from fdplug.testing.checks import schedule
from fdplug.transforms import NoTransform

NEEDED = {
    "uniform": {"interval": 3},
    "early": {"count": 3},
    "explicit": {"steps": [0]},
    "damped": {"steps": [2], "shares": [0.5]},
}
FILES = {"tuned"}  # made by tuning, see test_tuned


SLOW = {"compile"}  # its own tests, tests/builtin/test_compile.py, are in the default run


def built(kind):
    return [
        pytest.param(
            registry.build(kind, {name: NEEDED.get(name, {})}), id=name, marks=[pytest.mark.slow] * (name in SLOW)
        )
        for name in registry.names(kind)
        if name not in FILES
    ]


@pytest.mark.parametrize("policy", built("policy"))
def test_policies(policy):
    check_policy(policy)


@pytest.mark.parametrize("cache", built("cache"))
def test_caches(cache):
    check_cache(cache)


@pytest.mark.parametrize("injector", built("injector"))
def test_injectors(injector):
    check_injector(injector)


@pytest.mark.parametrize("guidance", [*built("guidance"), Cached(3, "extrapolated")])
def test_guidances(guidance):
    check_guidance(guidance)


@pytest.mark.parametrize("sampler", built("sampler"))
def test_samplers(sampler):
    check_sampler(sampler)


@pytest.mark.parametrize("transform", built("transform"))
def test_transforms(transform):
    check_transform(transform)


class Outside(Uniform):
    """Names a step after the last."""

    def key_steps(self, schedule):
        return frozenset({schedule.num_steps})


class Moody(Uniform):
    """Changes its mind."""

    def key_steps(self, schedule):
        self.interval += 1
        return super().key_steps(schedule)


class Remembering(AdaptivePolicy):
    """Does not forget the run before."""

    name = "remembering"
    seen = 0

    def reset(self):
        pass

    def is_key(self, step, sample):
        self.seen += 1
        return self.seen > 10


class Shared(Reuse):
    """Hands out what it keeps."""

    def read(self, name, steps):
        return self._kept[name] if len(steps) == 1 else super().read(name, steps)


class RowMajor(Reuse):
    """Repeats rows in the wrong order."""

    def read(self, name, steps):
        return tuple(one.repeat_interleave(len(steps), 0) for one in self._kept[name])


class Clinging(Reuse):
    """Forgets nothing."""

    def reset(self):
        pass


class InPlace(PriorNoise):
    """Writes into the sample."""

    def inject(self, sample, prior, step):
        return sample.add_(prior)


class Growing(PriorNoise):
    """Turns every sample into float64."""

    def inject(self, sample, prior, step):
        return sample.double()


class Beyond(First):
    """All rows also at a step after the last."""

    def full_steps(self, schedule):
        return frozenset({schedule.num_steps})


class Lasting(Cached):
    """Makes of the first run's differences what the second one's should be."""

    def begin(self, schedule):
        pass

    def observe(self, step, name, conditional, other):
        self._seen.setdefault(name, [(step.time, conditional - other)])

    def full_steps(self, schedule):
        self.every = 1 + len(self._seen)
        return super().full_steps(schedule)


class Mixing(Cached):
    """Takes one prediction's difference for another's."""

    def observe(self, step, name, conditional, other):
        super().observe(step, "any", conditional, other)

    def predict(self, step, name, conditional):
        return super().predict(step, "any", conditional)


class Widening(First):
    """Answers in float32."""

    def predict(self, step, name, conditional):
        return conditional.float()


class Scribbling(First):
    """Writes into the conditional prediction."""

    def predict(self, step, name, conditional):
        return conditional.mul_(2)


class Fixed(Ddim):
    """Ignores the pipeline's config."""

    def build(self, config):
        return super().build({})


class Leaking(NoTransform):
    """Leaves an attribute behind."""

    def apply(self, pipe):
        pipe.unet.conv_in.left_behind = True


class Halving(NoTransform):
    """Lets the denoiser run half of its rows, and gives each twice."""

    def apply(self, pipe):
        inner = pipe.unet.forward

        def halved(sample, timestep, encoder_hidden_states, **kwargs):
            rows = len(sample) // 2
            output = inner(sample[:rows], timestep, encoder_hidden_states[:rows], **kwargs)[0]
            return (torch.cat([output, output]),)

        pipe.unet.forward = halved

    def undo(self, pipe):
        del pipe.unet.forward


class Telling(Halving):
    """Says so."""

    def bind(self, ledger):
        ledger.repeats = 0.5
        self.ledger = ledger

    def undo(self, pipe):
        super().undo(pipe)
        if hasattr(self, "ledger"):
            self.ledger.repeats = 1


class TwoRowsOnly(NoTransform):
    """Does not know that there may be more rows than two."""

    def apply(self, pipe):
        code = {"__name__": "fdplug_two_rows", "rows": torch.arange(2.0).view(2, 1, 1, 1)}
        exec("def add(module, given): return (given[0] + rows,)", code)
        self.hook = pipe.unet.conv_out.register_forward_pre_hook(code["add"])

    def undo(self, pipe):
        self.hook.remove()


def test_a_transform_that_says_how_many_rows_it_runs_is_counted_right():
    transform_checks._check_rows(Telling(), tiny_pipeline())


@pytest.mark.parametrize(
    ("check", "plugin", "message"),
    [
        (check_transform, Halving(), "rows went through conv_in, and the ledger counts"),
        (check_transform, TwoRowsOnly(), "with replayed steps a run ends in RuntimeError"),
        (check_policy, Outside(interval=2), "lie outside"),
        (check_policy, Moody(interval=1), "must not depend on earlier calls"),
        (check_policy, Remembering(), r"reset\(\) must forget"),
        (check_cache, Shared(), "read must return fresh memory"),
        (check_cache, RowMajor(), "time-major"),
        (check_cache, Clinging(), "a read must raise KeyError"),
        (check_injector, InPlace(), "deterministic|in place"),
        (check_injector, Growing(), "dtype became torch.float64"),
        (check_guidance, Beyond(), "full steps .* lie outside"),
        (check_guidance, Lasting(), r"begin\(\) must forget"),
        (check_guidance, Mixing(), "must not depend on the names of others"),
        (check_guidance, Widening(), "bfloat16 became torch.float32"),
        (check_guidance, Scribbling(), "must not be changed in place"),
        (check_sampler, Fixed(), "scheduler config must be kept"),
        (check_transform, Leaking(), "leave no attribute behind"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "name") else None,
)
def test_the_checks_find_faults(check, plugin, message):
    with pytest.raises(AssertionError, match=message):
        check(plugin)


def test_prior_noise_is_the_papers_formula():
    """z_t + alpha z_T where t < tau: steps 25 to 49 of DDIM-50, whose timesteps are 981, 961, ..., 1."""
    from fdplug.schedule import Schedule

    run = Schedule(tuple(float(981 - 20 * index) for index in range(50)))
    sample, prior = torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2)
    added = [float(PriorNoise().inject(sample, prior, run.step(index)).mean()) for index in range(50)]
    assert added == pytest.approx([0.0] * 25 + [0.003] * 25)


def test_noise_time_of_schedulers_that_do_not_count_training_steps():
    from fdplug.schedule import Schedule

    logs = Schedule((1.6, 0.4, -0.2, -1.1))
    assert [logs.step(index).time for index in range(4)] == [1.0, 0.75, 0.5, 0.25]


def test_drop_gives_zeros_but_at_the_key_step():
    cache = Drop()
    cache.begin(schedule(5))
    cache.write("block", 1, (torch.ones(2, 3),))
    (got,) = cache.read("block", [1, 2])
    assert torch.equal(got, torch.tensor([[1.0] * 3] * 2 + [[0.0] * 3] * 2))
