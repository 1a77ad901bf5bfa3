"""The plugin contract: every hook that fdplug calls, and nothing else.

A plugin is a module (or object) with functions marked `@fdplug.hookimpl` and named as below. Each yields **classes**.
A class carries its own `name`; its docstring is its help text and its `__init__` signature its configuration, so that
`fdplug plugins`, YAML files and the documentation all read one source. Hooks are called once, at set-up; the denoising
loop sees plain objects.

A distribution announces its plugin in `pyproject.toml`:

```toml
[project.entry-points.fdplug]
my-plugin = "my_module"
```

**Version.** `CONTRACT` is the version of this file. A plugin's module may state the contract that it was written for,
`FDPLUG_CONTRACT = "1.0"`; it is loaded by every fdplug of the same major number whose minor number is not smaller, and
left out with a warning by others. Additions (a hook, a method with a default, an attribute) raise the minor number;
whatever would break a plugin raises the major number. New in 1.1:

- samplers: `Sampler.fit`, `arguments`, `flow` and `leave_out`;
- parts: `trunk` of every built-in family but Stable Cascade's, whose own scheduler adds noise that no replayed trunk
  would see; `Part.blocks`, `residual`, `probe` and `whole`, with `KeyStepPolicy.probes` and `observe`;
- caches: `fdplug.caches.Weighted`, `FeatureCache.forget`;
- the kind guidance, with `DenoiserFamily.guidance` and `guidance_rows`; the hook `fdplug_scores`;
- families: `successor` and `boundary`, `listed` arguments and `batch_dimensions`;
- `space` of every class (`fdplug.space`), by which `fdplug optimize` knows what to try; `rescaled` of policies and
  caches, for presets in runs of other lengths;
- the facts `decoded-ahead` and `serial`; `Ledger.add`.

**Public modules.** `fdplug` itself and `fdplug.policies`, `caches`, `injectors`, `samplers`, `denoisers`, `transforms`,
`parts`, `guidance`, `scores`, `schedule`, `stacking`, `patching`, `trees`, `pipeline`, `checks`, `errors` and
`testing`; a plugin needs no other. Import torch inside functions: `fdplug plugins` imports every plugin and must not
wait for torch.

**Stacking.** Policies, caches, injectors, parts, guidances and transforms may state `needs`, `provides` and `excludes`
(`fdplug.stacking`), with a reason for the user; what is not said is allowed.

**Measured beforehand.** There is no hook for calibration. What is to be learned (steps, ratios, polynomials, ranges),
from which runs, and for how long, differs from method to method, and a hook would hold no more than "run something and
write a file". So that is a command, a script or a function of the plugin's own, on `fdplug.propagate` and the ledger;
the plugin takes the file, or the numbers, as options of `__init__`. What fdplug has to know of them it asks elsewhere:
`KeyStepPolicy.prepare` refuses another model, `key_steps` and `rescaled` another number of steps, and `run.json` keeps
the content of the file. `tuned` (`fdplug tune`) and `magcache` of `fdplug-residual` (`measure(pipe, run)`) are made so;
"Write a plugin" says what holds for such files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fdplug.caches import FeatureCache
    from fdplug.denoisers import DenoiserFamily
    from fdplug.guidance import Guidance
    from fdplug.injectors import NoiseInjector
    from fdplug.parts import PartRule
    from fdplug.policies import KeyStepPolicy
    from fdplug.samplers import Sampler
    from fdplug.scores import Score
    from fdplug.transforms import Transform

CONTRACT = "1.1"
hookspec = pluggy.HookspecMarker("fdplug")


@hookspec
def fdplug_key_step_policies() -> Iterable[type[KeyStepPolicy]]:
    """Yield policies: they choose the steps at which the part is computed.

    ```python
    import fdplug
    from fdplug.policies import KeyStepPolicy, Schedule


    class FirstHalf(KeyStepPolicy):
        '''Key steps in the first half of the run only.'''

        name = "first-half"

        def key_steps(self, schedule: Schedule) -> frozenset[int]:
            return frozenset(range(schedule.num_steps // 2))


    @fdplug.hookimpl
    def fdplug_key_step_policies():
        yield FirstHalf
    ```

    There are two more base classes. An `AdaptivePolicy` decides step by step, by the denoiser's input; `observe` tells
    it what a computed step predicted (contract 1.1):

    ```python
    import fdplug
    from fdplug.policies import AdaptivePolicy


    class Calm(AdaptivePolicy):
        '''Replays one step after each whose prediction differs little from the one before.'''

        name = "calm"

        def __init__(self, threshold: float = 0.1):
            self.threshold = threshold

        @classmethod
        def space(cls, steps):  # what `fdplug optimize` tries
            return {"threshold": (0.05, 0.1, 0.2)}

        def reset(self):
            self.last, self.calm = None, False

        def observe(self, step, sample, prediction):
            if self.last is not None:
                change = (prediction - self.last).abs().mean() / self.last.abs().mean()
                self.calm = float(change) < self.threshold
            self.last = prediction.clone()

        def is_key(self, step, sample):
            self.calm, was = False, self.calm
            return not was


    @fdplug.hookimpl
    def fdplug_key_step_policies():
        yield Calm
    ```

    With `probes = True` it decides in the middle of a call instead, by what the part's probe, such as the first block,
    adds to its own input (contract 1.1):

    ```python
    import fdplug
    from fdplug.policies import AdaptivePolicy


    class Drift(AdaptivePolicy):
        '''Computes a step if the probe's answer has left that of the last computed step.'''

        name = "drift"
        probes = True
        needs = {"probe": "it decides by the first block; take part='after-first-block'"}

        def reset(self):
            self.kept = None

        def is_key(self, step, sample):
            kept = self.kept
            if kept is not None and kept.shape == sample.shape and float((sample - kept).norm() / kept.norm()) < 0.05:
                return False
            self.kept = sample.clone()
            return True


    @fdplug.hookimpl
    def fdplug_key_step_policies():
        yield Drift
    ```

    A `BlockPolicy` names key steps for every module of the part by itself: block caching ("Cache Me if You Can",
    2312.03209) gives each transformer block a schedule of its own, which one set of steps for the whole part cannot
    say.
    """
    return ()


@hookspec
def fdplug_feature_caches() -> Iterable[type[FeatureCache]]:
    """Yield caches: they keep the features of key steps and hand them out for the others.

    ```python
    import fdplug
    from fdplug.caches import FeatureCache


    class Halved(FeatureCache):
        '''Features at half their strength at every step that is not a key step.'''

        name = "halved"

        def reset(self):
            self.kept = {}

        def write(self, name, step, features):
            self.kept[name] = (step, features)

        def read(self, name, steps):
            from torch import cat

            key, features = self.kept[name]
            weights = [1.0 if step == key else 0.5 for step in steps]
            return tuple(cat([feature * weight for weight in weights]) for feature in features)


    @fdplug.hookimpl
    def fdplug_feature_caches():
        yield Halved
    ```
    """
    return ()


@hookspec
def fdplug_noise_injectors() -> Iterable[type[NoiseInjector]]:
    """Yield injectors: they may change the sample just before each scheduler step.

    ```python
    import fdplug
    from fdplug.injectors import NoiseInjector


    class Constant(NoiseInjector):
        '''The same share of prior noise at every step.'''

        name = "constant"

        def __init__(self, alpha: float = 0.001):
            self.alpha = alpha

        def inject(self, sample, prior, step):
            return sample + self.alpha * prior


    @fdplug.hookimpl
    def fdplug_noise_injectors():
        yield Constant
    ```

    Noise of a step's own is `fdplug.injectors.fresh_noise(prior, step)`: an injector has no generator, so that an image
    does not depend on its batch.
    """
    return ()


@hookspec
def fdplug_samplers() -> Iterable[type[Sampler]]:
    """Yield samplers: named recipes for a diffusers scheduler.

    ```python
    import fdplug
    from fdplug.samplers import Sampler


    class EulerAncestral(Sampler):
        '''Euler with fresh noise at every step.'''

        name = "euler-a"
        scheduler = "EulerAncestralDiscreteScheduler"
        steps = 30


    @fdplug.hookimpl
    def fdplug_samplers():
        yield EulerAncestral
    ```

    Where steps lie at places of one's own, `arguments(steps)` returns `{"timesteps": [...]}` or `{"sigmas": [...]}` for
    the pipeline's call, noisiest first, in place of their number (contract 1.1; `ays` and `tuned` do):

    ```python
    import fdplug
    from fdplug.samplers import Sampler


    class DenseLate(Sampler):
        '''Euler with most of its steps at little noise.'''

        name = "dense-late"
        scheduler = "EulerDiscreteScheduler"
        steps = 20

        def arguments(self, steps):
            return {"timesteps": [round(999 * (1 - index / steps) ** 2) for index in range(steps)]}


    @fdplug.hookimpl
    def fdplug_samplers():
        yield DenseLate
    ```

    `build` may set further entries of the scheduler's config. A sampler with `flow = True` is for models that predict a
    flow, and `fit` refuses all others.
    """
    return ()


@hookspec
def fdplug_denoiser_families() -> Iterable[type[DenoiserFamily]]:
    """Yield denoiser families: what fdplug knows about one class of denoisers.

    ```python
    import fdplug
    from fdplug.denoisers import DenoiserFamily, Part


    class MyUNet(DenoiserFamily):
        '''The U-Net of a private project.'''

        name = "my-unet"
        models = ("my_package.models.MyUNet",)
        batch_arguments = ("encoder_hidden_states",)

        def parts(self, denoiser):
            yield Part(name="encoder", modules=("stem", "down.0", "down.1", "middle"), sample_free=True)


    @fdplug.hookimpl
    def fdplug_denoiser_families():
        yield MyUNet
    ```

    More than that a family says where its class needs it (contract 1.1): which arguments hold rows in another dimension
    than the first, or as a list; what the rows of guidance stand for; and which second denoiser a run goes over to, and
    when:

    ```python
    import fdplug
    from fdplug.denoisers import DenoiserFamily, GuidanceRows, trunk


    class MyCascade(DenoiserFamily):
        '''Two transformers, the second of them for little noise.'''

        name = "my-cascade"
        models = ("my_package.models.MyTransformer",)
        component, successor = "transformer", "transformer_2"
        sample = "hidden_states"
        conditioning = ("temb",)
        batch_arguments = ("encoder_hidden_states", "image_rotary_emb")
        batch_dimensions = {"image_rotary_emb": 1}
        listed = frozenset({"encoder_hidden_states"})
        guidance = GuidanceRows(order=("unconditional", "conditional"))

        def boundary(self, pipe, schedule):
            return sum(time >= 875 for time in schedule.timesteps)

        def parts(self, denoiser):
            yield trunk(["embed", *(f"blocks.{index}" for index, _ in enumerate(denoiser.blocks))])


    @fdplug.hookimpl
    def fdplug_denoiser_families():
        yield MyCascade
    ```
    """
    return ()


@hookspec
def fdplug_transforms() -> Iterable[type[Transform]]:
    """Yield transforms: changes of a pipeline that are not a schedule, with an exact undo.

    ```python
    import fdplug
    from fdplug.transforms import Transform


    class SlicedVae(Transform):
        '''Decode images one by one, for less memory.'''

        name = "sliced-vae"

        def apply(self, pipe):
            pipe.vae.enable_slicing()

        def undo(self, pipe):
            pipe.vae.disable_slicing()


    @fdplug.hookimpl
    def fdplug_transforms():
        yield SlicedVae
    ```

    Parallel sampling (ParaDiGMS, 2305.16317) is a transform as well: a sampler yields a scheduler, which never sees the
    denoiser, while a window of steps is one batch of the denoiser. Such a transform overrides `bind` to tell the ledger
    how many rows really run.
    """
    return ()


@hookspec
def fdplug_parts() -> Iterable[type[PartRule]]:
    """Yield part rules: sets of modules to compute at key steps and replay at the others, for any denoiser.

    ```python
    import fdplug
    from fdplug.errors import PropagationError
    from fdplug.parts import Part, PartRule


    class Middle(PartRule):
        '''The middle block of a U-Net, and nothing else.'''

        name = "middle"

        def part(self, family, denoiser):
            if getattr(denoiser, "mid_block", None) is None:
                raise PropagationError(f"{type(denoiser).__name__} has no middle block")
            return Part(name="middle", modules=("mid_block",), sample_free=False)


    @fdplug.hookimpl
    def fdplug_parts():
        yield Middle
    ```

    A family names the parts of its own classes; without this hook, a method that caches other modules (DeepCache caches
    everything deeper than one skip connection, block caching every transformer block) would need a family of its own,
    and families of one class exclude each other.

    A part with `residual = True` keeps what it adds to its input instead of what it hands on, whatever the cache. The
    blocks to choose from are those of the family's trunk, and one in front of the part can be a policy's probe
    (contract 1.1):

    ```python
    import fdplug
    from fdplug.parts import Part, PartRule


    class LaterBlocks(PartRule):
        '''What all blocks of a transformer but the first add to its output.'''

        name = "later-blocks"

        def part(self, family, denoiser):
            first, *rest = family.part(denoiser, "trunk").blocks
            chained = frozenset(rest[:-1])  # nobody reads their output but the next block
            return Part(
                name=self.name, modules=tuple(rest), chained=chained, sample_free=False, residual=True, probe=first
            )


    @fdplug.hookimpl
    def fdplug_parts():
        yield LaterBlocks
    ```
    """
    return ()


@hookspec
def fdplug_scores() -> Iterable[type[Score]]:
    """Yield scores: numbers over all images of a run, each with a name, a title and a direction.

    ```python
    import fdplug
    from fdplug.scores import BASELINE, MeanScore, Number


    class Brightness(MeanScore):
        '''How much brighter images are than the un-accelerated ones, in percent of white.'''

        name = "brightness"
        numbers = (Number("brightness", "brighter by", higher_is_better=False, digits=2, unit="%"),)
        needs = frozenset({BASELINE})

        def values(self, batch):
            images, baseline = batch.pairs()
            return {"brightness": (images.float() - baseline.float()).mean((1, 2, 3)).abs() / 2.55}


    @fdplug.hookimpl
    def fdplug_scores():
        yield Brightness
    ```

    `fdplug compare --scores brightness`, `fdplug evaluate --scores brightness` and the callback
    `LogScores: {scores: [brightness]}` of `fdplug predict` know it then, and tables, charts and the report its column.
    A `MeanScore` is the mean over images of something that each image has. Other scores override `begin`, `update` and
    `compute` themselves, and put together what several processes have with `fdplug.scores.rows`: `Rows` (numbers of
    single images, handed out in the order of their ids) or `summed`. Networks are loaded in `load`. A `CombinedScore`
    is made of other numbers.
    """
    return ()


@hookspec
def fdplug_guidances() -> Iterable[type[Guidance]]:
    """Yield guidances: they choose the steps at which all rows of a guided batch run, and make what the others lack.

    ```python
    import fdplug
    from fdplug.guidance import Guidance


    class Ends(Guidance):
        '''Guidance at both ends of the run; half of its last difference in between.'''

        name = "ends"

        def __init__(self, steps: int = 3):
            self.steps = steps

        def begin(self, schedule):
            self.kept = {}

        def full_steps(self, schedule):
            run = range(schedule.start, schedule.end)
            return frozenset([*run[: self.steps], *run[-self.steps :]])

        def observe(self, step, name, conditional, other):
            self.kept[name] = conditional - other

        def predict(self, step, name, conditional):
            return conditional - 0.5 * self.kept[name]


    @fdplug.hookimpl
    def fdplug_guidances():
        yield Ends
    ```

    The pipeline's own formula goes on with what `predict` returns: where that is `conditional` itself, guidance is off.
    An `AdaptiveGuidance` decides step by step, by what was predicted. Which rows are which, the denoiser's family says
    (`guidance`). A transform could not do this: it does not know which step it is at, and what else stands for a row.

    Contract 1.1.
    """
    return ()
