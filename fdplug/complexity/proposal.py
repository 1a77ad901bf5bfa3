"""A family for a class that nobody has registered, proposed from its code: block stacks, stem and arguments.

The order of the blocks and what runs before them are read from the class's `forward`; nothing is run. It is a
beginning: `fdplug.testing.check_family` on a tiny pipeline says whether it holds.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from fdplug.errors import UnsupportedDenoiserError

TIMES = ("timestep", "timesteps", "t")
POSITIONS = ("rotary", "freqs_cis", "rope")
UNBATCHED = ("_ids", "_shapes", "_sizes", *POSITIONS)
ADDED = ("controlnet", "residual")


@dataclass(frozen=True)
class Proposal:
    """What a family for a class would say, in the words of `DenoiserFamily` and `Row`.

    Attributes:
        model: dotted name of the class.
        component: the pipeline's attribute that is likely to hold the denoiser.
        unet: whether it is an encoder and a decoder with skip connections; else a transformer.
        stacks: lists of blocks, in the order in which they run.
        stem: modules between the sample (or a text that the blocks change) and the first block.
        aside: lists of blocks whose output only other blocks read.
        alternating: whether blocks of the stacks take turns.
        sample: the forward argument that holds the noisy sample.
        timestep: the forward argument that holds the timestep.
        conditioning: arguments that go along with the batch.
        batch_arguments: arguments that are added to features.
        unbatched: arguments of the blocks without a batch dimension.
    """

    model: str
    component: str
    unet: bool
    stacks: tuple[str, ...]
    stem: tuple[str, ...]
    aside: tuple[str, ...]
    alternating: bool
    sample: str
    timestep: str
    conditioning: tuple[str, ...]
    batch_arguments: tuple[str, ...]
    unbatched: tuple[str, ...]


@dataclass(frozen=True)
class _Loop:
    """A loop over lists of blocks: the lists, and the variables that hold what a block returns."""

    lists: tuple[str, ...]
    streams: frozenset[str]
    line: int


def propose(network: nn.Module) -> Proposal:
    """Return the proposal for a denoiser's class.

    Raises:
        UnsupportedDenoiserError: its forward goes through no list of blocks.
    """
    forward = inspect.unwrap(type(network).forward)
    code = ast.parse(textwrap.dedent(inspect.getsource(forward))).body[0]
    assert isinstance(code, ast.FunctionDef)
    statements = list(_statements(code.body))
    loops = [loop for one in statements if isinstance(one, ast.For) and (loop := _loop(network, one))]
    if not loops:
        raise UnsupportedDenoiserError(
            f"{type(network).__name__} goes through no list of blocks in its forward, so no family can be proposed; "
            "write one by hand, as `fdplug new-plugin NAME --kind family` begins it"
        )
    return _proposal(network, inspect.signature(forward), statements, loops)


def _proposal(
    network: nn.Module, signature: inspect.Signature, statements: list[ast.stmt], loops: list[_Loop]
) -> Proposal:
    flowing = _flowing(statements, loops[-1])
    joined = [loop for loop in loops if loop.streams & flowing]
    stacks = [name for loop in joined for name in loop.lists if "refiner" not in name]
    refiners = [name for loop in joined for name in loop.lists if "refiner" in name]
    streams = frozenset().union(*(loop.streams for loop in joined))
    first = min(loop.line for loop in joined)
    sample, *others = list(signature.parameters.values())[1:]
    return Proposal(
        model=_public(type(network)),
        component="unet" if hasattr(network, "down_blocks") else "transformer",
        unet=hasattr(network, "down_blocks") and hasattr(network, "up_blocks"),
        stacks=tuple(dict.fromkeys(stacks)),
        stem=(*dict.fromkeys(_stem(network, statements, first, streams)), *refiners),
        aside=tuple(name for loop in loops if loop not in joined for name in loop.lists),
        alternating=any(len(loop.lists) > 1 for loop in joined),
        sample=sample.name,
        timestep=next((one.name for one in others if one.name in TIMES), "timestep"),
        conditioning=tuple(_arguments(others, added=False)),
        batch_arguments=tuple(_arguments(others, added=True)),
        unbatched=tuple(_unbatched(network, stacks)),
    )


def _public(cls: type) -> str:
    """Return where a class is imported from: diffusers itself, if it is one of its own."""
    import diffusers

    own = getattr(diffusers, cls.__name__, None) is cls
    return f"diffusers.{cls.__name__}" if own else f"{cls.__module__}.{cls.__name__}"


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements in order, those inside conditions too, those inside loops not."""
    for one in body:
        yield one
        if isinstance(one, ast.If | ast.With):
            yield from _statements(one.body)
            yield from _statements(getattr(one, "orelse", ()))


def _own(network: nn.Module, tree: ast.AST) -> list[str]:
    """Return the names of the network's own modules that an expression mentions, in order."""
    children = dict(network.named_children())
    found = [one for one in ast.walk(tree) if isinstance(one, ast.Attribute) and _is_self(one.value)]
    return [one.attr for one in sorted(found, key=lambda one: (one.lineno, one.col_offset)) if one.attr in children]


def _is_self(tree: ast.AST) -> bool:
    return isinstance(tree, ast.Name) and tree.id == "self"


def _loop(network: nn.Module, statement: ast.For) -> _Loop | None:
    lists = [name for name in _own(network, statement.iter) if isinstance(getattr(network, name), nn.ModuleList)]
    blocks = _names(statement.target)
    streams: set[str] = set()
    for one in ast.walk(statement):
        if isinstance(one, ast.Assign) and _calls(one.value, blocks):
            streams |= _names(*one.targets)
    return _Loop(tuple(lists), frozenset(streams), statement.lineno) if lists and streams else None


def _flowing(statements: list[ast.stmt], last: _Loop) -> set[str]:
    """Return the variables that, by assignments, become what the last loop goes on with."""
    needed = set(last.streams)
    before = [one for statement in statements for one in ast.walk(statement) if isinstance(one, ast.Assign)]
    for one in sorted(before, key=lambda one: -one.lineno):
        if one.lineno < last.line and needed & _names(*one.targets):
            needed |= _names(one.value)
    return needed


def _names(*trees: ast.AST) -> set[str]:
    return {one.id for tree in trees for one in ast.walk(tree) if isinstance(one, ast.Name)}


def _calls(tree: ast.AST, blocks: set[str]) -> bool:
    calls = [one.func for one in ast.walk(tree) if isinstance(one, ast.Call)]
    return any(isinstance(one, ast.Name) and one.id in blocks for one in calls)


def _stem(network: nn.Module, statements: list[ast.stmt], line: int, streams: frozenset[str]) -> Iterator[str]:
    """Yield the modules called before the first loop whose outputs are nothing but what blocks go on with."""
    for one in statements:
        if not isinstance(one, ast.Assign) or one.lineno >= line:
            continue
        if _names(*one.targets) <= streams:
            called = [call.func for call in ast.walk(one.value) if isinstance(call, ast.Call)]
            yield from (name for func in called for name in _own(network, func) if _is_called(network, func, name))


def _is_called(network: nn.Module, func: ast.expr, name: str) -> bool:
    """Whether this is the module itself, or one out of a dictionary, and has something to learn."""
    direct = isinstance(func, ast.Attribute) and _is_self(func.value)
    return (direct or isinstance(func, ast.Subscript)) and any(True for _ in getattr(network, name).parameters())


def _arguments(parameters: Iterable[inspect.Parameter], added: bool) -> Iterator[str]:
    for one in parameters:
        plain = str(one.annotation) in ("int", "bool", "str", "float") or one.annotation in (int, bool, str, float)
        left_out = plain or one.name in TIMES or one.name == "return_dict" or one.kind is one.VAR_KEYWORD
        left_out |= any(word in one.name for word in UNBATCHED)
        if not left_out and added is any(word in one.name for word in ADDED):
            yield one.name


def _unbatched(network: nn.Module, stacks: Iterable[str]) -> Iterator[str]:
    found: dict[str, None] = {}
    for stack in stacks:
        blocks: Any = getattr(network, stack)
        for name in inspect.signature(inspect.unwrap(type(blocks[0]).forward)).parameters:
            if any(word in name for word in POSITIONS):
                found[name] = None
    yield from found
