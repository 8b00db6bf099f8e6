"""What Keycloak's admin API says of a realm: administrators' events and the list of users."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.core.numeric_date import MAX_NUMERIC_DATE
from receiver.core.realm import AdminEvent, read_admin_events, read_users

EVENT: dict[str, Any] = {
    "id": "e1",
    "time": 1795176000250,
    "realmId": "main",
    "authDetails": {"userId": "admin"},
    "operationType": "UPDATE",
    "resourceType": "USER",
    "resourcePath": "users/u1",
}
"""As Keycloak 26 sends it."""


@pytest.mark.parametrize(
    ("changes", "what", "user"),
    [
        ({}, "account changed", "u1"),
        ({"operationType": "DELETE"}, "account deleted", "u1"),
        ({"operationType": "CREATE"}, "other", None),
        ({"operationType": "ACTION"}, "other", None),
        ({"operationType": None}, "other", None),
        # What is changed below a user is no account.
        ({"resourcePath": "users/u1/role-mappings/realm"}, "other", None),
        ({"resourcePath": "users/u1/sessions", "operationType": "DELETE"}, "other", None),
        ({"resourcePath": "users/"}, "other", None),
        ({"resourcePath": "users"}, "other", None),
        ({"resourcePath": "users/" + "u" * 513}, "other", None),
        ({"resourcePath": "groups/u1"}, "other", None),
        ({"resourcePath": "xusers/u1"}, "other", None),
        ({"resourcePath": None}, "other", None),
        ({"resourcePath": ["users/u1"]}, "other", None),
        ({"operationType": "ACTION", "resourcePath": "logout-all"}, "realm logged out", None),
        ({"operationType": "UPDATE", "resourcePath": "logout-all"}, "other", None),
        ({"operationType": "ACTION", "resourcePath": "clients/c1/push-revocation"}, "other", None),
    ],
)
def test_what_an_event_is(changes: dict[str, Any], what: Any, user: str | None) -> None:
    """The realm is logged out, an account is deleted or changed; anything else is of no account."""
    expected = AdminEvent(id="e1", at_ms=1795176000250, what=what, user=user)

    assert [expected] == read_admin_events([{**EVENT, **changes}])


@pytest.mark.parametrize("missing", [None, "", 5, "x" * 513, "a\nb"])
def test_event_without_an_id(missing: object) -> None:
    """Keycloak before 26 sends none: its time and place name it, the same whenever it is read, in 512 characters."""
    [event] = read_admin_events([{**EVENT, "id": missing}])
    [long] = read_admin_events([{**EVENT, "id": missing, "resourcePath": "p" * 600}])

    assert "1795176000250 UPDATE users/u1" == event.id
    assert "1795176000250 UPDATE " + "p" * (512 - 21) == long.id


@pytest.mark.parametrize("at_ms", [0, 1, MAX_NUMERIC_DATE * 1000])
def test_date_of_an_event(at_ms: int) -> None:
    """Milliseconds since 1970, to the end of the year 9999."""
    assert at_ms == read_admin_events([{**EVENT, "time": at_ms}])[0].at_ms


@pytest.mark.parametrize("at_ms", [None, True, "1", 1.5, -1, MAX_NUMERIC_DATE * 1000 + 1])
def test_event_without_a_date(at_ms: object) -> None:
    """An answer with one is refused whole: where to go on could not be told."""
    with pytest.raises(ValueError, match="an event without a time"):
        read_admin_events([EVENT, {**EVENT, "time": at_ms}])


def test_events_keep_their_order() -> None:
    """All of them, as they were sent."""
    assert ["b", "a"] == [event.id for event in read_admin_events([{**EVENT, "id": "b"}, {**EVENT, "id": "a"}])]
    assert [] == read_admin_events([])


def test_users() -> None:
    """Each with whether the account is enabled; an answer that does not say so disables none."""
    found = [{"id": "a"}, {"id": "b", "enabled": False}, {"id": "c", "enabled": True}, {"id": "d", "enabled": None}]

    assert [("a", True), ("b", False), ("c", True), ("d", True)] == read_users(found)


@pytest.mark.parametrize("name", [None, "", 5, "x" * 513])
def test_user_without_an_id(name: object) -> None:
    """A list that is read in part would make the others look deleted."""
    with pytest.raises(ValueError, match="a user without an id"):
        read_users([{"id": "a"}, {"id": name}])


@pytest.mark.parametrize("answer", [None, {}, {"error": "x"}, "[]", [5], [{"id": "a"}, None]])
def test_what_is_no_list(answer: object) -> None:
    """An answer is a list of objects, or an error."""
    for read in (read_admin_events, read_users):
        with pytest.raises(ValueError, match="no list of objects"):
            read(answer)
