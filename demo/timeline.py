"""The demo's own record of what happened: a Redis stream that every part writes to.

It exists for the story and the page only; the receiver knows nothing of it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from receiver.bus.events import stream
from receiver.bus.keys import KeyNames
from receiver.core.eviction import Eviction, eviction_id
from receiver.errors import BadEventError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis


STREAM = "demo:timeline"
MAX_ENTRIES = 1000


class Happened(StrEnum):
    """Kinds of entries, in the order a sign-in and a sign-out produce them."""

    CHAPTER = "chapter"  # title
    OP_SIGNED_IN = "op.signed_in"  # username, sub, sid, client_id
    APP_SIGNED_IN = "app.signed_in"  # app, username, account
    TOKENS_CACHED = "app.tokens_cached"  # app, username, account, added
    OP_SIGNED_OUT = "op.signed_out"  # username, sid, client_ids
    LOGOUT_POSTED = "logout.posted"  # client_id, username, claims
    LOGOUT_ANSWERED = "logout.answered"  # client_id, username, jti, status (0: no answer), ms
    EVICTION = "eviction"  # the published event; read from the receiver's own stream
    APP_FORGOT = "app.forgot"  # app, account, eviction_id, removed
    APP_DROPPED_SESSION = "app.dropped_session"  # app, username, account


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        at: Seconds since the epoch, by the clock of this machine, which all parts share.
    """

    kind: Happened
    at: float
    data: Mapping[str, Any]


def fields(kind: Happened, data: Mapping[str, object], *, at: float | None = None) -> dict[Any, Any]:
    """The stream entry for XADD, which sync and async clients write each in their own way."""
    return {"kind": kind.value, "at": repr(time.time() if at is None else at), "data": json.dumps(data)}


def report(client: redis.Redis, kind: Happened, **data: object) -> None:
    """Write one entry."""
    client.xadd(STREAM, fields(kind, data), maxlen=MAX_ENTRIES)


def read_all(client: redis.Redis, keys: KeyNames | None = None) -> list[Entry]:
    """Everything that happened so far, oldest first: the demo's entries and the receiver's published events."""
    ours = [
        Entry(Happened(raw[b"kind"].decode()), float(raw[b"at"]), json.loads(raw[b"data"]))
        for _, raw in _range(client, STREAM)
    ]
    posted_at = {
        eviction_id(entry.data["claims"]["iss"], entry.data["claims"]["jti"]): entry.at
        for entry in ours
        if entry.kind is Happened.LOGOUT_POSTED
    }
    published = []
    for entry_id, raw in _range(client, (keys or KeyNames()).events):
        try:
            data = _eviction_data(stream.to_entry(entry_id, raw).eviction())
        except BadEventError:
            continue
        # A stream id is cut to the millisecond, which could put an eviction before the POST that caused it.
        at = max(_milliseconds(entry_id) / 1000, posted_at.get(data["eviction_id"], 0))
        published.append(Entry(Happened.EVICTION, at, data))
    return sorted(ours + published, key=lambda entry: entry.at)


def _range(client: redis.Redis, name: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    return client.xrange(name)  # type: ignore[return-value]  # redis-py types sync and async replies as one


def _milliseconds(entry_id: bytes) -> int:
    return int(entry_id.split(b"-")[0])


def _eviction_data(eviction: Eviction) -> dict[str, Any]:
    return {
        "eviction_id": eviction.id,
        "client_id": eviction.client_id,
        "sub": eviction.sub,
        "sid": eviction.sid,
        "jti": eviction.jti,
        "scope": eviction.scope,
        "accounts": list(eviction.accounts),
    }
