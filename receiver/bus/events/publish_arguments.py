"""What the publish script is given for one eviction."""

from __future__ import annotations

from json.encoder import encode_basestring as encode_text
from json.encoder import encode_basestring_ascii as encode_ascii
from typing import TYPE_CHECKING

from receiver.core.eviction import Eviction, eviction_id
from receiver.core.marks import client_suffix, digest
from receiver.core.repeats import id_of, subject_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.bus.events.publish import Retention
    from receiver.bus.keys import KeyNames
    from receiver.core.index_names import IndexNames

MAX_EVENT_BYTES = 64 * 1024
"""Bytes of one event. A user with more accounts and sessions than fit becomes several events, so that no reader gets
one it cannot hold. A single name that is longer is not cut."""


class PublishArguments:
    """Keys and arguments of publish.lua, in its order.

    Args:
        keys: Key names.
        retention: How long what is kept.
        names: Those of the evictor's index.
        skew_s: Seconds that the clocks of a tenant's OP and of the receiver may differ, by the tenant's name.
    """

    def __init__(self, keys: KeyNames, retention: Retention, names: IndexNames, skew_s: Callable[[str], float]) -> None:
        self._keys = keys
        self._names = names
        self._skew_s = skew_s
        # What is the same each time, as text once.
        self._events, self._sequence = keys.events, keys.sequence
        self._dedupe_s, self._mark_s = str(retention.dedupe_s), str(retention.mark_s)
        self._max_bytes = str(MAX_EVENT_BYTES)
        self._kept = (self._dedupe_s, str(retention.max_events), str(retention.max_age_s * 1000))

    def __call__(self, eviction: Eviction, now_s: int) -> tuple[str | int, ...]:
        """Those of one eviction, at this NumericDate."""
        keys = self._keys
        subject = subject_of(eviction)
        source = eviction.source
        named = eviction.client_id if eviction.applies_to == "client" else None
        user = digest("sub", eviction.iss, eviction.sub) if eviction.sub else ""
        session = digest("sid", eviction.iss, eviction.sid) if eviction.sid else ""
        return (
            self._events,
            keys.jti(eviction.id),
            self._sequence,
            eviction.to_json_head(),
            "\n".join(map(encode_ascii, eviction.accounts)),
            *self._kept,
            now_s,
            eviction.logout_at,
            self._mark_s,
            user,
            session,
            eviction.scope,
            client_suffix(named) if named else "",
            encode_ascii(named) if named else "",
            keys.prefix,
            # As in the head, so that it is found there.
            encode_text(eviction.id),
            self._max_bytes,
            keys.logout(subject) if subject else "",
            id_of(subject, eviction.logout_at),
            eviction_id(eviction.iss, eviction.jti) if eviction.jti is not None else "",
            " ".join(self._names.read(user)) if user else "",
            " ".join(self._names.read(session)) if session else "",
            digest("account", eviction.iss, eviction.account) if eviction.account else "",
            int(source),
            int(self._skew_s(eviction.tenant)) if source else 0,
        )
