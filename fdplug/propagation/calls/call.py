"""One call of a denoiser, its arguments by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fdplug import trees
from fdplug.denoisers.base import plain
from fdplug.errors import PropagationError
from fdplug.propagation.calls.given import Given
from fdplug.repeated import whole

if TYPE_CHECKING:
    from fdplug.denoisers import Companion, DenoiserFamily
    from fdplug.propagation.window import Window


# Keyed by functions of classes: reading a signature takes longer than all else that is done per call.
_signature = functools.lru_cache(maxsize=64)(inspect.signature)


def positions(module: nn.Module) -> tuple[str, ...]:
    """Return the names that a module gives to what comes by position, in order."""
    _, *parameters = _signature(type(plain(module)).forward).parameters.values()
    return tuple(one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD)


def _naming(model: type[nn.Module], sample: str) -> inspect.Signature:
    """Return the signature that names a network's arguments.

    That of its class, as what others have put in place of its `forward` need not know them; where the class hands on
    `*args`, that of the first of its bases that has names.

    Raises:
        PropagationError: there is none.
    """
    for base in model.__mro__:
        if "forward" in vars(base) and sample in _signature(vars(base)["forward"]).parameters:
            return _signature(vars(base)["forward"])
    raise PropagationError(
        f"{model.__name__}.forward{_signature(model.forward)} does not name {sample!r}, so fdplug cannot tell what the "
        "denoiser is called with: let what was put in its place keep the names, as functools.wraps does"
    )


def first_step(
    window: Window, args: tuple[Any, ...], kwargs: Mapping[str, Any], places: tuple[str, ...], unbatched: frozenset[str]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Cut what a module is given for a whole window down to the rows of its first step.

    Args:
        window: the steps that the denoiser's call answers.
        args: what the module is given by position.
        kwargs: what it is given by name.
        places: its names for what comes by position.
        unbatched: the names of what holds no rows.
    """
    if len(window.steps) == 1:
        return args, dict(kwargs)
    given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
    names = dict(enumerate(places))
    batched = {key: value for key, value in given.items() if names.get(key, key) not in unbatched}
    given |= trees.first_rows(batched, window.rows, len(window.steps))
    return tuple(given.pop(place) for place in range(len(args))), given


@dataclass(frozen=True)
class Call:
    """What a network was given; its role says which argument is what."""

    role: DenoiserFamily | Companion
    arguments: dict[str, Any]
    positional: tuple[str, ...] = ()
    raw: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None

    @classmethod
    def of(
        cls,
        role: DenoiserFamily | Companion,
        network: nn.Module,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Call:
        """Name the arguments of `network(*args, **kwargs)`."""
        signature = _naming(type(plain(network)), role.sample)
        arguments = dict(signature.bind(network, *args, **kwargs).arguments)
        arguments.pop(next(iter(arguments)))
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(parameter.name, {}))
        return cls(role, arguments, tuple(list(arguments)[: len(args)]), (args, kwargs))

    @property
    def sample(self) -> Tensor:
        """The noisy sample, (B, ...); where it comes as a list of rows, they are stacked."""
        given = self.arguments[self.role.sample]
        return torch.stack(given) if isinstance(given, list) else given

    @property
    def timestep(self) -> Any:
        """The timestep as it was given: a number, or a tensor of one or B values."""
        return self.arguments[self.role.timestep]

    @property
    def rows(self) -> int:
        """B."""
        return len(self.arguments[self.role.sample])

    @functools.cached_property
    def given(self) -> Given:
        """What tells this call from the others of its step: all that it is given besides sample, time and residuals."""
        apart = {self.role.sample, self.role.timestep, *self.role.batch_arguments}
        return Given({name: value for name, value in self.arguments.items() if name not in apart})

    @functools.cached_property
    def residuals(self) -> Given:
        """What is added to features at every step."""
        return Given([self.arguments.get(name) for name in self.role.batch_arguments])

    def is_at(self, timestep: Tensor) -> bool:
        """Whether the timestep given stands for the scheduler's `timestep`, (1,), which lies in host memory."""
        given = self.timestep
        expected = self.role.timesteps(timestep, given, 1).flatten()[0]
        if isinstance(given, Tensor):
            return bool(expected.to(given.dtype) == given.flatten()[0].cpu())
        return float(expected) == float(given)

    def is_at_one_time(self, timestep: Tensor) -> bool:
        """Whether its rows are at one timestep, or where its role takes them to be at the scheduler's `timestep`, (1,).

        Every row of a span that is decoded in one batch is.
        """
        given = self.timestep
        if not isinstance(given, Tensor) or given.numel() == 1 or not any(given.stride()):
            return True
        if bool((given == given.flatten()[0]).all()):
            return True
        expected = self.role.timesteps(timestep, given, self.rows)
        return expected.shape == given.shape and torch.equal(expected.to(given.dtype), given)

    def is_among(self, timesteps: Any) -> bool:
        """Whether the timestep given stands for one of the scheduler's."""
        on_host = torch.as_tensor(timesteps).cpu()
        return any(self.is_at(on_host[index : index + 1]) for index in range(len(on_host)))

    @property
    def wants_gradient(self) -> bool:
        """Whether a gradient with respect to something given is asked for."""
        return self.sample.requires_grad or self.given.requires_gradient

    def spanning(self, timesteps: Tensor) -> dict[str, Any]:
        """Return the arguments for a whole span, time-major; `timesteps` (len,) are the scheduler's."""
        times = len(timesteps)
        arguments = {
            name: self._spread(name, value, times) if name in self._batched else value
            for name, value in self.arguments.items()
        }
        arguments[self.role.timestep] = self.role.timesteps(timesteps, self.timestep, self.rows)
        return arguments

    def portion(self, timesteps: Tensor, window: Window) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments for those rows of a span that a window decodes; positional ones as they came.

        Lists are copies: a U-Net takes the residuals of T2I-Adapters out of the list that it is given, and may be
        called more than once.

        Args:
            timesteps: the scheduler's, of the whole run.
            window: which steps, and which of their rows.
        """
        chosen = _chosen(timesteps, window.touched)
        arguments = trees.map_tensors(lambda tensor: tensor, self.spanning(chosen))
        batched = {*self._batched, self.role.timestep}
        cut = {
            name: self._along(name, window.cut, value) if name in batched else value
            for name, value in arguments.items()
        }
        return [cut.pop(name) for name in self.positional], cut

    def share(self, index: int, shares: int) -> Call:
        """Return the call for one of equal shares of the rows; lists are copies, as in `portion`."""
        size = self.rows // shares
        batched = {*self._batched, self.role.timestep}
        cut = {
            name: self._along(name, lambda one: trees.cut_rows(one, self.rows, index * size, (index + 1) * size), value)
            if name in batched
            else value
            for name, value in self.arguments.items()
        }
        return Call(self.role, cut, self.positional)

    def make(self, network: Callable[..., Any]) -> Any:
        """Call a network for these rows and this step alone."""
        if self.raw is not None:
            args, kwargs = self.raw
            return network(*args, **kwargs)
        named = dict(self.arguments)
        return network(*[named.pop(name) for name in self.positional], **named)

    def _spread(self, name: str, value: Any, times: int) -> Any:
        """Repeat an argument; only what is added to replayed features need not be written out."""
        if name in self.role.listed:
            return value * times
        spread = self._along(name, lambda tree: trees.repeat_rows(tree, self.rows, times), value)
        return spread if name in self.role.batch_arguments else trees.map_tensors(whole, spread)

    def _along(self, name: str, function: Callable[[Any], Any], value: Any) -> Any:
        """Apply a function of rows to an argument, whose batch may not be its first dimension."""
        place = self.role.batch_dimensions.get(name)
        if place is None:
            return function(value)
        turned = function(trees.map_tensors(lambda one: one.movedim(place, 0), value))
        return trees.map_tensors(lambda one: whole(one).movedim(0, place), turned)

    @property
    def _batched(self) -> set[str]:
        return {self.role.sample, *self.role.conditioning, *self.role.batch_arguments}

    def example(self, keep: int = 1) -> dict[str, Any]:
        """Return the arguments for `keep` rows, tensors without their values but for masks that decide the cost."""
        return {name: self._example(name, value, keep) for name, value in self.arguments.items()}

    def _example(self, name: str, value: Any, keep: int) -> Any:
        if name in self.role.counted:
            return trees.map_tensors(lambda one: one.detach().to("cpu", copy=True), value)
        if name in self.role.listed:  # all rows are padded to the longest
            return [_outline(max(value, key=Tensor.numel))] * keep
        if name not in {*self._batched, self.role.timestep}:
            return trees.map_tensors(_outline, value)
        return self._along(
            name, lambda tree: trees.map_tensors(lambda one: _outline(one, self.rows, keep), tree), value
        )


def _outline(tensor: Tensor, rows: int = 1, keep: int = 1) -> Tensor:
    """Return a tensor of the same kind without values, with `keep` rows where it holds `rows`."""
    shape = list(tensor.shape)
    if shape and shape[0] % rows == 0:
        shape[0] = shape[0] // rows * keep
    return torch.empty(shape, dtype=tensor.dtype, device="meta")


def _chosen(timesteps: Tensor, steps: tuple[int, ...]) -> Tensor:
    """Return the timesteps of some steps, without handing their places to an accelerator."""
    first, last = steps[0], steps[-1]
    if last - first + 1 == len(steps):
        return timesteps[first : last + 1]
    return torch.cat([timesteps[step : step + 1] for step in steps])
