"""Web sessions in a string: each is deleted whole. Pickle is read, never loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass

from receiver.core.layouts import foreign_json, session_values
from receiver.core.layouts.layout import STRING, WHOLE, Layout, Per, Raw, Value
from receiver.errors import BadValueError

PERMANENT = b"_permanent"
"""Flask's own member of a session, which Flask-Session sets in each unless `SESSION_PERMANENT` is off."""

# A dict as the first object, after the protocol and the length of the frame.
_PICKLED_DICT = re.compile(rb"\x80[\x02-\x05](?:\x95.{8})?\}", re.DOTALL)
# fixmap of at least one member, map 16, map 32.
_MSGPACK_MAP = re.compile(rb"[\x81-\x8f]|\xde..|\xdf....", re.DOTALL)
# Django's session keys are 32 of these characters, behind the name of the engine's module.
_DJANGO_NAME = re.compile(r"(?:\A|sessions\.cache|cached_db)[a-z0-9]{32}\Z")
_MSGPACK_TEXT_OF_10 = b"\xaa"


@dataclass(frozen=True, kw_only=True)
class Session(Layout):
    """One web session."""

    per: Per = "session"
    account_links: bool = False

    def read(self, raw: Raw) -> Value:
        """The sign-ins in it, by ID tokens, their claims and MSAL's caches."""
        found = session_values.read(*self._parts(raw))
        return Value(
            raw,
            {WHOLE: list(found.sign_ins)} if found.sign_ins else {},
            readable=bool(found.sign_ins),
            problems=found.problems,
            refresh_tokens=found.refresh_tokens,
        )

    def _parts(self, raw: Raw) -> list[bytes]:
        return [raw[STRING]]


class FlaskSession(Session):
    """Flask-Session's: msgpack or JSON, pickle before 0.8."""

    def bears_signature(self, raw: Raw) -> bool:
        """Whether it is a mapping in one of these forms that says whether the session is permanent."""
        value = raw[STRING]
        if PERMANENT not in value:
            return False
        is_msgpack = bool(_MSGPACK_MAP.match(value)) and _MSGPACK_TEXT_OF_10 + PERMANENT in value
        return is_msgpack or _is_pickled_dict(value) or PERMANENT.decode() in _object(value)


class DjangoSession(Session):
    """Django's, in one of its caches, where everything else that Django caches is a pickle too."""

    def is_name(self, name: str) -> bool:
        """Whether it ends as the names of Django's sessions do: all of it, or behind the engine's own prefix."""
        return bool(_DJANGO_NAME.search(name))

    def bears_signature(self, raw: Raw) -> bool:
        """Whether it is a pickled dict."""
        # Its Redis cache pickles what it is given, also where the sessions themselves are JSON.
        return _is_pickled_dict(raw[STRING])


class ExpressSession(Session):
    """express-session's JSON."""

    def bears_signature(self, raw: Raw) -> bool:
        """Whether it says of its cookie what express-session always does."""
        # Its `Cookie.toJSON` always writes `originalMaxAge`, null for a session of the browser.
        cookie = _object(raw[STRING]).get("cookie")
        return isinstance(cookie, dict) and "originalMaxAge" in cookie


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
