"""`receiver trace`: is this user out everywhere, how long did it take, and who has not answered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from receiver.bus.events import trace as bus
from receiver.bus.events.event_search import NotFound, find
from receiver.diagnosis.claim_text import instant
from receiver.diagnosis.terminal import GREEN, RED, dump, mark, plain, table

if TYPE_CHECKING:
    from receiver.bus.events.trace import AppTrace, Trace
    from receiver.ops.settings import Settings

_MARKS = {"done": ("✓", GREEN), "open": ("✗", RED)}

SHOWN_INSTANCES = 5
"""Silent instances named per app; `--json` has them all."""


async def trace(settings: Settings, text: str) -> Trace | None:
    """What became of the eviction given by event id or `jti`; None when the stream does not hold it.

    Raises:
        ConfigurationError: the settings name no Redis that others could publish to.
        RedisUnavailableError: Redis cannot be read.
    """
    keys = settings.redis.key_names
    issuers = [issuer for tenant in settings.all_tenants for issuer in tenant.to_tenant().issuers]
    async with settings.redis.opened() as client:
        found = await find(client, keys, text, issuers)
        if isinstance(found, NotFound):
            return None
        return await bus.trace(
            client, keys, found, now_s=time.time(), declared=settings.apps, seen_within_s=settings.apps_seen_s
        )


def to_json(found: Trace) -> str:
    """The documented shape, one object."""
    return dump(found.to_json(), indent=2)


def to_text(found: Trace, *, colours: bool) -> str:
    """The event, one line for each app, and the answer; then the same for the other events of its `jti`."""
    return "\n\n".join(_text_of(one, colours=colours) for one in (found, *found.others))


def _text_of(found: Trace, *, colours: bool) -> str:
    eviction = found.eviction
    head = f"{eviction.id}  {eviction.tenant}  {eviction.input}  {eviction.scope}  {instant(eviction.received_at)}"
    rows = [(app.app, _instances(app), _said(app)) for app in found.apps]
    lines = [plain(head)]
    for app, row in zip(found.apps, table(rows), strict=True):
        sign = mark("done" if app.done else "open", _MARKS, colours=colours)
        lines.append(f"{sign} {plain(row)}")
    return "\n".join([*lines, plain(_answer(found))])


def _instances(app: AppTrace) -> str:
    asked = len(app.acked_ms) + len(app.missing) + len(app.unknown)
    return f"{len(app.acked_ms)}/{asked}"


def _said(app: AppTrace) -> str:
    if app.missing:
        more = f" and {len(app.missing) - SHOWN_INSTANCES} more" if len(app.missing) > SHOWN_INSTANCES else ""
        said = f"no answer from {', '.join(app.missing[:SHOWN_INSTANCES])}{more}"
    elif app.unknown:
        caches = sorted({cache for of_instance in app.unknown.values() for cache in of_instance})
        said = f"unknown: may still be in {', '.join(caches)}"
    elif app.acked_ms:
        said = f"after {app.after_ms} ms"
    elif app.last_seen is None:
        said = "never heard of"
    else:
        said = f"no answer, last heard of {instant(app.last_seen)}"
    lost = f"; {len(app.lost)} gone before it without a goodbye" if app.lost and app.acked_ms else ""
    return said + lost


def _answer(found: Trace) -> str:
    if not found.apps:
        return "Nothing is proven: no app was listening. Name the ones that should in the setting apps."
    if found.complete:
        return f"The user is out everywhere, {found.after_ms} ms after the logout came in."
    waiting = [app.app for app in found.apps if not app.done]
    return f"The user is not out everywhere: no full answer from {', '.join(waiting)}."
