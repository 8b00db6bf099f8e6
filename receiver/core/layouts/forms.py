"""In which form a value was serialised, told by its bytes; each is read within limits, and none is ever loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from receiver.core.layouts import foreign_json, java, msgpack, pickled
from receiver.errors import BadValueError

if TYPE_CHECKING:
    from collections.abc import Callable

CACHELIB = b"!"
"""What cachelib and Flask-Caching put before a pickle in Redis."""

_JSON = b'{["'
_PICKLE = b"\x80"
_OLD_PICKLE = b"(}]cVXSU"
"""What protocols 0 and 1 begin with for mappings, lists, text and objects."""

_SEALED = {
    b"\x09\xf0\xc9\xf0": "data_protection", b"gAAAAA": "fernet", b"eyJ": "jwe", b"\x1f\x8b": "gzip", b"x\x9c": "zlib",
    b"x\x01": "zlib", b"x\xda": "zlib", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4",
    b"\xfd7zXZ": "xz",
}  # fmt: skip
"""First bytes of what is encrypted or compressed."""


def parse(value: bytes) -> Any:
    """The value as plain data: mappings, lists, text, bytes, numbers.

    Raises:
        BadValueError: `shape` or `not_json` where it is in none of these forms, or the limit that it is beyond.
    """
    return _reader(value)(value.removeprefix(CACHELIB))


def name(value: bytes) -> str:
    """In one word, the form of a value that says nothing of its user, for an operator."""
    if not value:
        return "empty"
    # Sealed first: the first bytes of a Fernet token or of gzip begin a value of MessagePack, too.
    sealed = next((word for begin, word in _SEALED.items() if value.startswith(begin)), None)
    if sealed is not None:
        return sealed
    try:
        reader = _reader(value)
        reader(value.removeprefix(CACHELIB))
    except BadValueError as error:
        return error.reason if error.reason not in {"shape", "not_json"} else "unknown"
    return reader.__module__.rpartition(".")[2]


def _reader(value: bytes) -> Callable[[bytes], Any]:
    # The order counts. Java's two bytes begin no other form. A pickle is told by its last byte as well: to MessagePack
    # 0x80 is an empty map, and `(`, `]` and `}` are small numbers. So are `{`, `[` and `"`, with which JSON begins.
    # MessagePack is last: nearly every byte begins one of its values.
    bare = value.removeprefix(CACHELIB)
    first = bare[:1]
    if bare.startswith(java.MAGIC):
        return java.parse
    if bare.endswith(b".") and (first == _PICKLE or first in _OLD_PICKLE):
        return pickled.parse
    if first and first in _JSON:
        return foreign_json.parse
    if first:
        return msgpack.parse
    raise BadValueError("shape")
