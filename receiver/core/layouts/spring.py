"""Spring Session: a hash for each session, and books beside it: an index by principal, and a key that expires for it.

Field values are Java's serialisation or JSON; each is read by itself, and never loaded. The members of the index are
session ids as the app's serialiser writes strings; Java's puts a header before the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from receiver.core.layouts.layout import Raw, Value
from receiver.core.layouts.session import Session
from receiver.errors import BadValueError

if TYPE_CHECKING:
    from collections.abc import Iterable


INDEX = "index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:"
"""Below the namespace: sets of session ids, by the name of the principal. Spring's OIDC login takes the `sub`."""

EXPIRES = "sessions:expires:"
"""Below the namespace: what Redis lets expire in place of the session, so that Spring hears of it."""

BIRTH = "creationTime"
"""Field without which a session is a torn one."""

FIELDS = {BIRTH, "lastAccessedTime", "maxInactiveInterval"}
"""Fields of every whole session."""

ATTRIBUTE = "sessionAttr:"
"""What the names of all its other fields begin with."""

_ID = re.compile(rb"[A-Za-z0-9-]{8,64}\Z")


@dataclass(frozen=True, kw_only=True)
class SpringSession(Session):
    """One session of Spring Session."""

    fields: ClassVar[tuple[str, ...] | None] = None
    swaps: ClassVar[bool] = False

    def read(self, raw: Raw) -> Value:
        """The sign-ins in its fields; what is left of a torn one says nothing."""
        if not _is_springs(raw):
            raise BadValueError("shape")
        # `RedisIndexedSessionRepository.save` writes the changed fields and does not ask whether the key is there: a
        # request that was in flight leaves a hash of them alone.
        if BIRTH not in raw:
            return Value(raw, {}, readable=False, is_torn=True)
        return super().read(raw)

    def bears_signature(self, raw: Raw) -> bool:
        """Whether it has all the fields of a session and no others, or is torn."""
        return _is_springs(raw) and (raw.keys() >= FIELDS or BIRTH not in raw)

    def is_beside(self, name: str) -> bool:
        """Whether the name has a further part: sessions have none."""
        return ":" in name

    def index_of(self, prefix: str, user: str) -> str:
        """The set of the sessions of a principal."""
        return f"{prefix}{INDEX}{user}"

    def name_in(self, member: bytes) -> str | None:
        """The session's id, which ends the serialised text."""
        # The id ends the member in both serialisations: Java's puts a header before it, JSON quotes around it.
        found = _ID.search(member.rstrip(b'"'))
        return found[0].decode() if found else None

    def kept_beside(self, prefix: str, names: Iterable[str]) -> list[str]:
        """The keys that expire for these sessions."""
        # Where it stayed, its expiry would tell Spring of a session that is not there any more.
        return [f"{prefix}{EXPIRES}{name}" for name in names]

    def _parts(self, raw: Raw) -> list[bytes]:
        # Longest first, as what is long holds the tokens.
        return sorted(raw.values(), key=len, reverse=True)


def _is_springs(raw: Raw) -> bool:
    return all(name in FIELDS or name.startswith(ATTRIBUTE) for name in raw)
