"""A json document with a checksum of itself: a byte that has changed since it was written is not taken for a result.

The last key, `crc32`, is that of the document without it, of sorted keys and without spaces: a document that is only
laid out anew stays valid. One that others have written needs none.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from fdplug.files.source import Source

CHECKSUM = "crc32"


def checksum(document: dict[str, Any]) -> str:
    """Return the checksum of a document, eight hexadecimal digits; its own checksum is not part of it."""
    bare = {key: value for key, value in document.items() if key != CHECKSUM}
    read = json.loads(json.dumps(bare))  # keys that are numbers are texts from here on, and sorted as such
    return f"{zlib.crc32(json.dumps(read, sort_keys=True, separators=(',', ':')).encode()):08x}"


def with_checksum(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document with its checksum as last key."""
    return {**document, CHECKSUM: checksum(document)}


def check_checksum(source: Source, document: dict[str, Any]) -> None:
    """Refuse a document that is not what was written.

    Raises:
        FdplugError: it has another checksum than it names.
    """
    if document.get(CHECKSUM, found := checksum(document)) != found:
        raise source.refused(
            f"its `{CHECKSUM}` does not fit: it has changed since (if you changed it on purpose, leave that key out)"
        )
