"""What Microsoft Graph says of a directory's users: which of them ended, and when. Pure: its answers in, facts out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from receiver.core.numeric_date import MAX_NUMERIC_DATE
from receiver.core.tenants import GUID


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryUser:
    """One user in an answer; what the answer does not say is None.

    Attributes:
        id: Object id, a GUID in lower case.
        valid_from: NumericDate seconds of `signInSessionsValidFromDateTime`: sign-ins before it count no more.
        enabled: `accountEnabled`.
        removed: Whether a delta query says that the user is gone.
        deleted_at: NumericDate seconds of `deletedDateTime`.
    """

    id: str
    valid_from: int | None = None
    enabled: bool | None = None
    removed: bool = False
    deleted_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of users.

    Attributes:
        users: In the order of the answer.
        next_link: Where the next page is; None for the last one.
        delta_link: Where later changes are, on the last page of a delta query; else None.
    """

    users: tuple[DirectoryUser, ...]
    next_link: str | None
    delta_link: str | None


def read_page(answer: object) -> Page:
    """One page as Graph sends it.

    Args:
        answer: Parsed JSON.

    Raises:
        ValueError: it is not such a page. A page that is read in part could lose a user.
    """
    # OData: `value` holds the page; `nextLink` and `deltaLink` say where to go on.
    if not isinstance(answer, dict) or not isinstance(answer.get("value"), list):
        raise ValueError("no value")  # noqa: TRY004  # one kind of refusal
    links = [answer.get(f"@odata.{name}") for name in ("nextLink", "deltaLink")]
    if any(link is not None and not isinstance(link, str) for link in links):
        raise ValueError("a link that is no text")
    return Page(users=tuple(map(_user, answer["value"])), next_link=links[0], delta_link=links[1])


def _user(found: object) -> DirectoryUser:
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        raise ValueError("a user without an id")  # noqa: TRY004  # one kind of refusal
    # An object id is a GUID, and becomes part of `home_account_id`, which is compared letter by letter.
    guid = found["id"].lower()
    if GUID.fullmatch(guid) is None:
        raise ValueError("a user's id that is no GUID")
    enabled = found.get("accountEnabled")
    return DirectoryUser(
        id=guid,
        valid_from=_date(found.get("signInSessionsValidFromDateTime")),
        enabled=enabled if isinstance(enabled, bool) else None,
        # Graph, delta query: `@removed` says `changed` for a user that can be restored and `deleted` for good. Both
        # have ended.
        removed="@removed" in found,
        deleted_at=_date(found.get("deletedDateTime")),
    )


def _date(text: object) -> int | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise ValueError("a date that is no text")  # noqa: TRY004  # one kind of refusal
    # Graph writes Z, which Python reads since 3.11.
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a date without a time zone")
    # The year 1 stands for no date.
    seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return seconds if 0 <= seconds <= MAX_NUMERIC_DATE else None
