"""One dialect: how the entries of docstrings are written, how messages end, and no docstring that says nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    [*(ROOT / "fdplug").rglob("*.py"), *ROOT.glob("plugins/*/fdplug_*.py"), *ROOT.glob("docs/building/*.py")]
)
SECTION = re.compile(r"^(Args|Attributes|Raises):$")
ENTRY = re.compile(r"^    ([*\w][\w, .*]*): (.*)$")
# Names that are written with a capital wherever they stand.
NAMES = {"Inception", "Lightning", "Python", "Heun", "Picard", "Gaussian", "Euler", "Chromium", "Hugging"}
FILLER = {
    "Add a batch.",
    "Advance.",
    "Do nothing.",
    "How many.",
    "Know what to work on.",
    "Take a batch.",
    "Take nothing.",
    "The options of the command.",
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def entries(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every entry under Args, Attributes and Raises, on one line."""
    inside, name, words = False, "", []
    for line in [*docstring.splitlines(), "end"]:
        entry = ENTRY.match(line) if inside else None
        if name and (entry or not line.startswith("     ")):
            yield name, " ".join(words)
            name = ""
        if line.strip() and not line.startswith(" "):
            inside = bool(SECTION.match(line))
        elif entry:
            name, words = entry[1], [entry[2].strip()]
        elif name:
            words.append(line.strip())


def capital(text: str) -> bool:
    """Whether an entry begins with a capital that is none of a name, an acronym or a symbol."""
    word = re.match(r"[A-Za-z][\w+-]*", text)
    if word is None or not word[0][0].isupper() or word[0] in NAMES:
        return False
    return word[0] == "A" or (len(word[0]) > 1 and word[0][1:].islower())


def faults_of_docstrings(tree: ast.AST) -> Iterator[str]:
    """Yield what is wrong with the docstrings of a module."""
    for node in ast.walk(tree):
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Module)):
            continue
        text, name = ast.get_docstring(node) or "", getattr(node, "name", "the module")
        if text in FILLER:
            yield f"{name}: '{text}' says nothing; say what is done, or leave it out"
        for entry, said in entries(text):
            if capital(said):
                yield f"{name}: the entry '{entry}' begins with a capital: {said:.40}"
            if not said.endswith((".", "`", ":")):
                yield f"{name}: the entry '{entry}' ends without a full stop: ...{said[-40:]}"


class Messages:
    """The texts with which the messages of a module's errors and warnings end, as far as they are in that module."""

    def __init__(self, tree: ast.AST) -> None:
        self.functions = {node.name: node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)}
        self.calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        self.tree = tree
        self._seen: set[int] = set()

    def ends(self) -> Iterator[ast.expr]:
        """Yield the nodes, each a text with or without values in it."""
        yield from self._within(self.tree, None)

    def _within(self, node: ast.AST, function: ast.AST | None) -> Iterator[ast.expr]:
        for child in ast.iter_child_nodes(node):
            inner = child if isinstance(child, FUNCTIONS) else function
            if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call):
                for argument in child.exc.args:
                    yield from self._last(argument, inner)
            if isinstance(child, ast.Call) and _called(child) == "warn" and child.args:
                yield from self._last(child.args[0], inner)
            yield from self._within(child, inner)

    def _last(self, node: ast.expr, function: ast.AST | None) -> Iterator[ast.expr]:
        """Yield the texts that an expression may end with."""
        if id(node) in self._seen:
            return
        self._seen.add(id(node))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node
        elif isinstance(node, ast.JoinedStr) and node.values:
            last = node.values[-1]
            if isinstance(last, ast.FormattedValue):
                yield from self._last(last.value, function)
            else:
                yield node
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            yield from self._last(node.right, function)
        elif isinstance(node, ast.IfExp):
            yield from self._last(node.body, function)
            yield from self._last(node.orelse, function)
        elif isinstance(node, ast.Name) and function is not None:
            yield from self._of_name(node.id, function)
        elif isinstance(node, ast.Call) and _called(node) in self.functions:
            yield from self._returned(self.functions[_called(node)])

    def _of_name(self, name: str, function: ast.AST) -> Iterator[ast.expr]:
        for node in [*ast.walk(function), *getattr(self.tree, "body", ())]:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                yield from self._last(node.value, function)
        arguments = [one.arg for one in function.args.args if one.arg not in ("self", "cls")]
        if name in arguments:
            for call in self.calls:
                if _called(call) == function.name and len(call.args) > arguments.index(name):
                    yield from self._last(call.args[arguments.index(name)], None)

    def _returned(self, function: ast.AST) -> Iterator[ast.expr]:
        for node in ast.walk(function):
            if isinstance(node, ast.Return) and node.value is not None:
                yield from self._last(node.value, function)


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _text(node: ast.expr) -> str:
    last = node.values[-1] if isinstance(node, ast.JoinedStr) else node
    return str(getattr(last, "value", ""))


def faults_of_messages(tree: ast.AST) -> Iterator[str]:
    """Yield the messages of a module that end with a full stop."""
    for node in Messages(tree).ends():
        text = _text(node)
        if text.endswith(".") and not text.endswith(".."):
            yield f"line {node.lineno}: a message ends with a full stop: ...{text[-40:]}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_keeps_to_the_dialect(file):
    tree = ast.parse(file.read_text())
    assert not [*faults_of_docstrings(tree), *faults_of_messages(tree)]


DOCSTRING = '''
def scored(name, rows):
    """Return a score.

    Args:
        name: {first}
            and more of it{end}
        rows: (N, d).

    Raises:
        DataError: {second}
    """
'''


def test_a_good_docstring_is_no_fault():
    for word in ("a name", "FID of it", "`fid`", "Inception score", "N of them", "SHA-256"):
        code = DOCSTRING.format(first=word, end=".", second="there is none.")
        assert not [*faults_of_docstrings(ast.parse(code))]


@pytest.mark.parametrize(
    ("first", "end", "second", "fault"),
    [
        ("Name", ".", "there is none.", "the entry 'name' begins with a capital: Name"),
        ("A name", ".", "there is none.", "the entry 'name' begins with a capital: A name"),
        ("a name", "", "there is none.", "the entry 'name' ends without a full stop"),
        ("a name", ".", "There is none.", "the entry 'DataError' begins with a capital"),
    ],
)
def test_a_bad_entry_is_found(first, end, second, fault):
    (found,) = faults_of_docstrings(ast.parse(DOCSTRING.format(first=first, end=end, second=second)))
    assert fault in found


def test_filler_is_found():
    (found,) = faults_of_docstrings(ast.parse('def update():\n    """Take nothing."""'))
    assert "'Take nothing.' says nothing" in found


@pytest.mark.parametrize(
    "code",
    [
        "raise ConfigError('no.')",
        "raise ConfigError(f'no {name}.')",
        "raise ConfigError('yes' if good else 'no.')",
        "raise ConfigError('no ' + 'more.')",
        "warn('no.')",
        "warnings.warn(f'{name} is no.')",
        "def f():\n    message = 'no.'\n    raise DataError(message)",
        "HINT = 'no.'\ndef f():\n    raise DataError(HINT)",
        "def f():\n    remedy = 'no.'\n    raise DataError(f'bad; {remedy}')",
        "def text():\n    return 'no.'\nraise DataError(text())",
        "def fail(message):\n    raise DataError(message)\nfail('no.')",
    ],
)
def test_a_message_with_a_full_stop_is_found(code):
    assert len([*faults_of_messages(ast.parse(code))]) == 1


@pytest.mark.parametrize("code", ["raise ConfigError('no')", "raise ConfigError('a. b')", "raise ConfigError('a...')"])
def test_other_messages_are_no_fault(code):
    assert not [*faults_of_messages(ast.parse(code))]
