"""Whether what a tenant's sources tell arrives: pure judgement of what the receivers have noted in Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.diagnosis.checks import Area, Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver.bus.streams import StreamNote
    from receiver.bus.watches import Watermark
    from receiver.ops.tenant_settings import TenantSettings

SILENT_S = 600.0
"""Seconds after which a source that is watched should have been taken in again."""

REFUSED_S = 7 * 86_400.0
"""Seconds an event that was refused is spoken of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What is noted of one tenant.

    Attributes:
        stream: What its transmitter said.
        graph: How far Microsoft Graph was taken in.
        realm: How far its Keycloak realm was.
        now_s: NumericDate seconds.
    """

    stream: StreamNote
    graph: Watermark
    realm: Watermark
    now_s: float


def check_sources(tenant: TenantSettings, facts: SourceFacts) -> Iterator[Check]:
    """A line for each source that the tenant has."""
    area = Area(tenant.name)
    if tenant.ssf is not None:
        yield _stream(area, tenant.name, facts.stream)
        yield from _refused(area, tenant.name, facts.stream, facts.now_s)
    if tenant.graph is not None:
        by = {
            "delta": "delta queries tell of revoked sessions",
            "filter": "revoked sessions are found by their date; delta queries do not tell of them",
            "pages": "revoked sessions are found by reading all users; the directory answers in no quicker way",
        }.get(facts.graph.dates_by, "no session was revoked yet, so it is not known what delta queries tell")
        yield _watched(area, "graph", facts.graph, by, now_s=facts.now_s, sweep_s=tenant.graph.sweep_s)
    if tenant.keycloak is not None:
        yield _watched(
            area, "keycloak", facts.realm, "the realm is watched", now_s=facts.now_s, sweep_s=tenant.keycloak.sweep_s
        )


def _refused(area: Area, tenant: str, note: StreamNote, now_s: float) -> Iterator[Check]:
    if note.refused_at is None or now_s - note.refused_at > REFUSED_S:
        return
    yield area.warning(
        "refused_events",
        f"an event was refused {max(0.0, now_s - note.refused_at):.0f} s ago, for {note.refused_for}; if it was to "
        "sign a user out, they are still signed in",
        f"See docs/errors.md for the code and `receiver ssf status {tenant}` for the stream's aud and iss; order the "
        "logout by hand (`receiver order`).",
    )


def _stream(area: Area, tenant: str, note: StreamNote) -> Check:
    if note.status in {"paused", "disabled"}:
        text = f"the transmitter has {note.status} the stream{f': {note.reason}' if note.reason else ''}"
        return area.warning("stream", text, f"Run `receiver ssf status {tenant} --change-to enabled`.")
    if note.verified_at is None:
        text = "no verification of the stream has come yet"
        return area.warning("stream", text, f"Run `receiver ssf create {tenant}`, then `receiver ssf verify {tenant}`.")
    return area.ok("stream", "the transmitter's verification has come")


def _watched(area: Area, name: str, position: Watermark, text: str, *, now_s: float, sweep_s: float) -> Check:
    at = max(position.dates_at, position.ended_at)
    fix = f"See why in the job input:{name}:<tenant> of /readyz, and input.failed in the log."
    if not at:
        return area.warning(name, "nothing was taken in yet", fix)
    ago_s = max(0.0, now_s - at)
    if ago_s > max(SILENT_S, 2 * sweep_s):
        return area.warning(name, f"nothing was taken in for {ago_s:.0f} s", fix)
    return area.ok(name, f"taken in {ago_s:.0f} s ago; {text}")
