"""What Keycloak's admin API says of a realm: which users ended, and when. Pure: its answers in, facts out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from receiver.core.numeric_date import MAX_NUMERIC_DATE
from receiver.core.tokens.claims import is_plain_id

What = Literal["realm logged out", "account deleted", "account changed", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminEvent:
    """One admin event.

    Attributes:
        id: The same whenever it is read.
        at_ms: Milliseconds since 1970 on the realm's clock.
        what: As far as it matters here.
        user: The id of the user it is about; None where it is about none.
    """

    id: str
    at_ms: int
    what: What
    user: str | None


def read_admin_events(answer: object) -> list[AdminEvent]:
    """Admin events as Keycloak sends them, in their order.

    Args:
        answer: Parsed JSON.

    Raises:
        ValueError: it is no such list.
    """
    return [_event(one) for one in _objects(answer)]


def read_users(answer: object) -> list[tuple[str, bool]]:
    """Id of each user, and whether the account is enabled.

    Args:
        answer: Parsed JSON.

    Raises:
        ValueError: it is no list of users.
    """
    found = []
    for one in _objects(answer):
        name = one.get("id")
        if not is_plain_id(name):
            raise ValueError("a user without an id")
        # An account of which the answer does not say it is not known to have ended.
        found.append((name, one.get("enabled") is not False))
    return found


def _objects(answer: object) -> list[dict[str, object]]:
    if not isinstance(answer, list) or not all(isinstance(one, dict) for one in answer):
        raise ValueError("no list of objects")
    return answer


def _event(found: dict[str, object]) -> AdminEvent:
    at_ms, operation, path = found.get("time"), found.get("operationType"), found.get("resourcePath")
    # Milliseconds. Without a time an event could not be told from one that was read before.
    if not isinstance(at_ms, int) or isinstance(at_ms, bool) or not 0 <= at_ms <= MAX_NUMERIC_DATE * 1000:
        raise ValueError("an event without a time")
    place = path if isinstance(path, str) else ""
    name = found.get("id")
    # `users/<id>`. A longer path is about a part of the account, for instance `users/<id>/role-mappings`.
    kind, _, user = place.partition("/")
    what: What = "other"
    if operation == "ACTION" and place == "logout-all":
        what = "realm logged out"
    elif kind == "users" and is_plain_id(user) and "/" not in user:
        if operation == "DELETE":
            what = "account deleted"
        elif operation == "UPDATE":
            what = "account changed"
    about = user if what.startswith("account") else None
    # Before 26 events have no id; what they say is one then.
    return AdminEvent(
        id=name if is_plain_id(name) else f"{at_ms} {operation} {place}"[:512], at_ms=at_ms, what=what, user=about
    )
