"""The timeline's record and what the page makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from demo import timeline
from demo.timeline import Entry, Happened
from demo.timeline_page import chapters, lines, present_state
from receiver.core.eviction import Eviction, eviction_id

if TYPE_CHECKING:
    import redis

ISSUER = "https://localhost:1/demo"
CLAIMS = {"iss": ISSUER, "aud": "portal", "sub": "alice-sub", "jti": "j-1"}
ID = eviction_id(ISSUER, "j-1")
SIGNED_IN = {"username": "alice", "sub": "alice-sub", "sid": "s-1", "client_id": "portal"}


def test_published_evictions_are_read_from_the_receivers_stream(client: redis.Redis) -> None:
    """The record is the demo's own entries and the receiver's published events, in order of time."""
    eviction = Eviction(
        id=ID,
        tenant="demo",
        iss=ISSUER,
        jti="j-1",
        sid="s-1",
        scope="session",
        logout_at=1,
        received_at=1.0,
        accounts=("alice-sub",),
    )
    timeline.report(client, Happened.APP_SIGNED_IN, app="portal", username="alice", account="alice-sub")
    client.xadd("{logout}:events", {"event": eviction.to_json(), "n": 1}, id="9000000000000-0")

    first, second = timeline.read_all(client)

    assert first.kind is Happened.APP_SIGNED_IN
    assert second.kind is Happened.EVICTION
    assert second.data["accounts"] == ["alice-sub"]
    assert second.at == 9_000_000_000


@pytest.mark.parametrize(
    ("kind", "data", "actor", "text"),
    [
        (Happened.OP_SIGNED_IN, SIGNED_IN, "OP", "alice gave the password, on the way to portal"),
        (Happened.APP_SIGNED_IN, {"app": "portal", "username": "alice"}, "portal", "alice is signed in at portal"),
        (
            Happened.TOKENS_CACHED,
            {"app": "orders", "username": "alice", "kinds": ["AccessToken", "RefreshToken"]},
            "orders",
            "alice's tokens are in the shared cache: access, refresh",
        ),
        (
            Happened.OP_SIGNED_OUT,
            {"username": "alice", "sid": "s-1", "client_ids": ["portal", "orders"]},
            "OP",
            "alice signed out; apps to tell: portal, orders",
        ),
        (Happened.LOGOUT_POSTED, {"client_id": "portal", "claims": CLAIMS}, "OP", "posts a logout token for portal"),
        (
            Happened.LOGOUT_ANSWERED,
            {"client_id": "portal", "status": 200, "ms": 7},
            "receiver",
            "answered 200 to the token for portal",
        ),
        (
            Happened.LOGOUT_ANSWERED,
            {"client_id": "portal", "status": 0, "ms": 5000},
            "receiver",
            "did not answer to the token for portal",
        ),
        (
            Happened.EVICTION,
            {"eviction_id": ID, "accounts": ["alice-sub"]},
            "receiver",
            "put the eviction of alice on the stream",
        ),
        (
            Happened.APP_FORGOT,
            {"app": "portal", "eviction_id": ID, "account": "alice-sub", "removed": 7},
            "portal",
            "forgot alice: 7 entries removed from the shared cache",
        ),
        (
            Happened.APP_DROPPED_SESSION,
            {"app": "orders", "username": "alice"},
            "orders",
            "alice's browser came back and is signed out",
        ),
    ],
)
def test_each_kind_has_a_sentence(kind: Happened, data: dict[str, Any], actor: str, text: str) -> None:
    """Every kind of entry reads as one sentence with the user's name, never the account id."""
    *_, line = lines([Entry(Happened.OP_SIGNED_IN, 1.0, SIGNED_IN), Entry(kind, 2.0, data)])

    assert (line.actor, line.text) == (actor, text)


def test_app_that_comes_second_finds_nothing() -> None:
    """The cache is shared: the second app to hear of it has nothing left to remove, and says so."""
    data = {"app": "orders", "eviction_id": ID, "account": "alice-sub", "removed": 0}

    _, line = lines([Entry(Happened.OP_SIGNED_IN, 1.0, SIGNED_IN), Entry(Happened.APP_FORGOT, 2.0, data)])

    assert line.text == "heard it too; nothing of alice was left"


def test_newest_chapter_comes_first() -> None:
    """Chapters are shown newest first, the lines in each oldest first."""
    entries = [
        Entry(Happened.CHAPTER, 1.0, {"title": "First"}),
        Entry(Happened.OP_SIGNED_IN, 2.0, SIGNED_IN),
        Entry(Happened.APP_SIGNED_IN, 3.0, {"app": "portal", "username": "alice"}),
        Entry(Happened.CHAPTER, 4.0, {"title": "Second"}),
    ]

    told = chapters(entries)

    assert [(chapter.title, [line.at for line in chapter.lines]) for chapter in told] == [
        ("Second", []),
        ("First", [2.0, 3.0]),
    ]


def test_eviction_never_stands_before_its_post(client: redis.Redis) -> None:
    """A stream id has milliseconds only; the order of cause and effect is kept all the same."""
    eviction = Eviction(
        id=ID, tenant="demo", iss=ISSUER, jti="j-1", sid="s-1", scope="session", logout_at=1, received_at=1.0
    )
    posted = timeline.fields(Happened.LOGOUT_POSTED, {"client_id": "portal", "claims": CLAIMS}, at=5.0006)
    client.xadd(timeline.STREAM, posted)
    client.xadd("{logout}:events", {"event": eviction.to_json(), "n": 1}, id="5000-0")

    assert [entry.kind for entry in timeline.read_all(client)] == [Happened.LOGOUT_POSTED, Happened.EVICTION]


def test_milliseconds_count_from_the_post_of_that_token() -> None:
    """What an app did is timed from the POST of the very token whose eviction it acted on."""
    entries = [
        Entry(Happened.LOGOUT_POSTED, 9.0, {"client_id": "orders", "claims": CLAIMS | {"jti": "j-0"}}),
        Entry(Happened.LOGOUT_POSTED, 10.0, {"client_id": "portal", "claims": CLAIMS}),
        Entry(Happened.APP_FORGOT, 10.02, {"app": "portal", "eviction_id": ID, "account": "alice-sub", "removed": 7}),
    ]

    told = lines(entries)

    assert [line.after_ms for line in told] == [None, None, 20]
    assert told[1].claims == CLAIMS


def test_present_state_follows_op_sessions(client: redis.Redis) -> None:
    """A session counts from its sign-in to its sign-out; no tokens are shown where none are held."""
    entries = [
        Entry(Happened.OP_SIGNED_IN, 1.0, SIGNED_IN),
        Entry(Happened.OP_SIGNED_IN, 2.0, SIGNED_IN | {"sid": "s-2"}),
        Entry(Happened.OP_SIGNED_OUT, 3.0, {"username": "alice", "sid": "s-1", "client_ids": ["portal"]}),
    ]

    state = present_state(client, entries, ["alice", "bob"])

    assert state == [
        {"username": "alice", "op_sessions": 1, "portal": [], "orders": []},
        {"username": "bob", "op_sessions": 0, "portal": [], "orders": []},
    ]
