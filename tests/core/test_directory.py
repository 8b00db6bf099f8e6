"""What Microsoft Graph says of users, and which answers are none."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.core.directory import DirectoryUser, Page, read_page
from receiver.core.numeric_date import MAX_NUMERIC_DATE

ID = "0a1b2c3d-aaaa-4aaa-8aaa-111111111111"
SAID_NOTHING = DirectoryUser(id=ID, valid_from=None, enabled=None, removed=False, deleted_at=None)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, {}),
        ({"id": ID.upper()}, {}),
        ({"accountEnabled": True}, {"enabled": True}),
        ({"accountEnabled": False}, {"enabled": False}),
        ({"accountEnabled": None}, {}),
        ({"accountEnabled": 0}, {}),
        ({"@removed": {"reason": "changed"}}, {"removed": True}),
        ({"@removed": None}, {"removed": True}),
        ({"signInSessionsValidFromDateTime": "2026-11-20T12:00:00Z"}, {"valid_from": 1795176000}),
        ({"signInSessionsValidFromDateTime": "2026-11-20T13:00:00.9+01:00"}, {"valid_from": 1795176000}),
        ({"deletedDateTime": "2026-11-20T12:00:00Z"}, {"deleted_at": 1795176000}),
        ({"deletedDateTime": None}, {}),
        ({"deletedDateTime": "1970-01-01T00:00:00Z"}, {"deleted_at": 0}),
        ({"deletedDateTime": "9999-12-31T23:59:59Z"}, {"deleted_at": MAX_NUMERIC_DATE}),
        # The year 1 stands for no date.
        ({"signInSessionsValidFromDateTime": "0001-01-01T00:00:00Z"}, {}),
        ({"signInSessionsValidFromDateTime": "1969-12-31T23:59:59Z"}, {}),
    ],
)
def test_user(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """What the answer says; all else is unknown."""
    [user] = read_page({"value": [{"id": ID, **found}]}).users

    want = {name: getattr(SAID_NOTHING, name) for name in ("id", "valid_from", "enabled", "removed", "deleted_at")}
    assert DirectoryUser(**{**want, **expected}) == user
    assert DirectoryUser(id=ID) == SAID_NOTHING


def test_page() -> None:
    """Its users in their order, and where the next page and later changes are."""
    other = ID.replace("0a", "0b")
    links = {"@odata.nextLink": "https://graph/next", "@odata.deltaLink": "https://graph/delta"}

    full = read_page({"value": [{"id": other}, {"id": ID}], **links})

    assert [other, ID] == [user.id for user in full.users]
    assert ("https://graph/next", "https://graph/delta") == (full.next_link, full.delta_link)
    assert Page(users=(), next_link=None, delta_link=None) == read_page({"value": [], "@odata.nextLink": None})


NO_PAGES: list[object] = [None, [], "x", {}, {"value": {}}, {"value": None}]
NO_USERS: list[object] = [None, "x", {}, {"id": 5}, {"id": None}]
NO_DATES: list[object] = [5, False, []]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        *((answer, "no value") for answer in NO_PAGES),
        ({"value": [], "@odata.nextLink": 1}, "a link that is no text"),
        ({"value": [], "@odata.deltaLink": ["x"]}, "a link that is no text"),
        ({"value": [], "@odata.nextLink": "x", "@odata.deltaLink": {}}, "a link that is no text"),
        *(({"value": [{"id": ID}, user]}, "a user without an id") for user in NO_USERS),
        *(({"value": [{"id": name}]}, "no GUID") for name in ("", "x", f"{ID}x", f"{ID}\n", ID[1:])),
        *(({"value": [{"id": ID, "deletedDateTime": date}]}, "no text") for date in NO_DATES),
        ({"value": [{"id": ID, "deletedDateTime": "2026-11-20T12:00:00"}]}, "without a time zone"),
        ({"value": [{"id": ID, "deletedDateTime": "today"}]}, "today"),
        ({"value": [{"id": ID, "signInSessionsValidFromDateTime": "2026-11-20"}]}, "without a time zone"),
    ],
)
def test_answer_that_is_no_page(answer: Any, why: str) -> None:
    """It is refused whole: a page that is read in part could lose a user."""
    with pytest.raises(ValueError, match=why):
        read_page(answer)
