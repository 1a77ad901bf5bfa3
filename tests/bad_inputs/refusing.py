"""What every refusal must be: an error of ours, one printable line, and a remedy in it."""

import re

import pytest

from fdplug.errors import FdplugError

REMEDY = re.compile(
    r"; |needed|must|one of|allowed|at least|at most|installed|did you mean|give|name another|between|needs|add|leave|"
    r"write|choose|remove|see fdplug|are read|correct|make room",
    re.IGNORECASE,
)


def refusal(call):
    """Return the one line with which `call` refuses its input."""
    with pytest.raises(FdplugError) as caught:
        call()
    text = str(caught.value)
    assert text.isprintable(), text
    assert 10 < len(text) < 1500, text
    assert REMEDY.search(text), text
    assert not re.search(r"Traceback|<class|object at 0x|NoneType", text), text
    return text
