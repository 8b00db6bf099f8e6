"""What a stack's values look like from outside, where what is in them cannot be read.

A value that cannot be read is deleted only where it bears its layout's signature: under the same prefix, or the
same Redis, other programs keep data of theirs. Each rule asks for what the stack itself writes into every value.
"""

from __future__ import annotations

import re

from receiver.core import foreign_json
from receiver.errors import BadValueError

DATA_PROTECTION = b"\x09\xf0\xc9\xf0"
"""What ASP.NET Core's Data Protection puts before the id of the key it encrypted with."""

PERMANENT = b"_permanent"
"""Flask's own member of a session, which Flask-Session sets in each unless `SESSION_PERMANENT` is off."""

SPRING_FIELDS = (b"creationTime", b"lastAccessedTime", b"maxInactiveInterval")
"""Fields of every whole Spring session."""

SPRING_ATTRIBUTE = b"sessionAttr:"
"""What the names of all its other fields begin with."""

# Version byte 0x80 and a time in seconds, whose upper bytes are 0 until 2106; 73 bytes at least, in base64.
_FERNET = re.compile(rb"gAAAAA[A-Za-z0-9_-]{92,}={0,2}\Z")
_JWE = re.compile(rb"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
# A dict as the first object, after the protocol and the length of the frame.
_PICKLED_DICT = re.compile(rb"\x80[\x02-\x05](?:\x95.{8})?\}", re.DOTALL)
_MSGPACK_MAP = re.compile(rb"[\x81-\x8f]|\xde..|\xdf....", re.DOTALL)
_MSGPACK_TEXT = b"\xaa"
"""Before a text of ten bytes."""


def is_data_protected(raw: bytes) -> bool:
    """Whether these are bytes that ASP.NET Core's Data Protection encrypted."""
    return raw.startswith(DATA_PROTECTION)


def is_encrypted_text(raw: bytes) -> bool:
    """Whether this is a text in one of the standard forms of encryption: Fernet (Python), or a JWE in compact form."""
    return bool(_FERNET.match(raw) or _JWE.match(raw))


def is_flask_session(raw: bytes) -> bool:
    """Whether Flask-Session wrote this: a mapping in msgpack, JSON or pickle that says whether it is permanent."""
    if PERMANENT not in raw:
        return False
    is_msgpack = bool(_MSGPACK_MAP.match(raw)) and _MSGPACK_TEXT + PERMANENT in raw
    return is_msgpack or _is_pickled_dict(raw) or PERMANENT.decode() in _object(raw)


def is_django_session(raw: bytes) -> bool:
    """Whether this is a pickled dict, as Django's caches write sessions. Nothing is loaded."""
    return _is_pickled_dict(raw)


def is_express_session(raw: bytes) -> bool:
    """Whether express-session wrote this: JSON with what it always says of its cookie."""
    cookie = _object(raw).get("cookie")
    return isinstance(cookie, dict) and "originalMaxAge" in cookie


def is_spring_session(raw: bytes) -> bool:
    """Whether a hash that was read has all the fields of a Spring session, or is what is left of one (empty)."""
    return not raw or all(name in raw for name in SPRING_FIELDS)


def is_torn_spring_session(fields: set[bytes]) -> bool:
    """Whether a hash has no other fields than a Spring session, and perhaps not all of them."""
    return all(name in SPRING_FIELDS or name.startswith(SPRING_ATTRIBUTE) for name in fields)


def is_anything(_: bytes) -> bool:
    """Whether this is at its key: of a `keyed` cache that is all there is to know."""
    return True


def _is_pickled_dict(raw: bytes) -> bool:
    return bool(_PICKLED_DICT.match(raw)) and raw.endswith(b".")


def _object(raw: bytes) -> dict[str, object]:
    if not raw.startswith(b"{"):
        return {}
    try:
        value = foreign_json.parse(raw)
    except BadValueError:
        return {}
    return value if isinstance(value, dict) else {}
