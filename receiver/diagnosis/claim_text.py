"""Claims, dates and issuers in a few safe words: no control characters, and `sub` and `sid` only when asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from receiver.core import numeric_date as dates
from receiver.diagnosis.issuers import difference
from receiver.diagnosis.terminal import show

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from receiver.core.tenants import Tenant

MAX_TENANTS_SHOWN = 5


def member(members: Mapping[str, object], name: str) -> str:
    """A header or payload member with its value."""
    return f"{name} {show(members[name])}" if name in members else f"no {name}"


def numeric_date(claims: Mapping[str, object], name: str, now_s: float) -> str:
    """A time claim, as a date and relative to now."""
    value = dates.numeric_date(claims.get(name))
    if value is None:
        return member(claims, name)
    apart = value - now_s
    relative = f"in {apart:.0f} s" if apart > 0 else f"{-apart:.0f} s ago"
    return f"{name} {instant(value)}, {relative}"


def instant(seconds: float, timespec: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """NumericDate seconds as UTC; `no date` for those that are none, such as a time that something else wrote."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return "no date"
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def personal(claims: Mapping[str, object], name: str, *, show_values: bool) -> str:
    """Whether `sub` or `sid` is there, and of what type; its value only when asked for."""
    if show_values or name not in claims:
        return member(claims, name)
    value = claims[name]
    kind = {str: "string", dict: "object", list: "array", bool: "boolean", type(None): "null"}.get(
        type(value), "number"
    )
    return f"{name} present ({kind}{', empty' if value == '' else ''})"


def events(claims: Mapping[str, object]) -> str:
    """The names of the event members."""
    value = claims.get("events")
    return (
        f"events {', '.join(map(show, sorted(value)))}"
        if isinstance(value, dict) and value
        else member(claims, "events")
    )


def configured(unverified_iss: object, tenants: Iterable[Tenant]) -> str:
    """The configured issuers, and how the claimed one differs from each."""
    lines = [
        f"{tenant.name} = {show(tenant.issuer)} ({difference(tenant.issuer, unverified_iss) or 'equal'})"
        for tenant in tenants
    ]
    if not lines:
        return "no tenant is configured: set RECEIVER_ISSUER and RECEIVER_CLIENT_IDS, or give --config"
    more = f"; and {len(lines) - MAX_TENANTS_SHOWN} more" if len(lines) > MAX_TENANTS_SHOWN else ""
    return "configured: " + "; ".join(lines[:MAX_TENANTS_SHOWN]) + more
