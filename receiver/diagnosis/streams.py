"""`receiver ssf`: our stream of security events at a tenant's transmitter, made, looked at, proved and ended."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from receiver.bus.link.connection import failing_as
from receiver.bus.streams import StreamNotes
from receiver.core.signals.delivery import POLL, PUSH, delivery_of, is_method, is_reachable
from receiver.errors import ConfigurationError
from receiver.outbound.access_tokens import AccessTokens
from receiver.outbound.egress import ways_of
from receiver.outbound.fetch import Fetcher
from receiver.outbound.transmitter import TransmitterClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from receiver.core.signals.transmitter import Transmitter
    from receiver.ops.settings import Settings
    from receiver.ops.ssf_settings import SSFSettings

LOOK_S = 0.5
"""Seconds between two looks at whether a verification has come."""

Report = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One tenant's stream, and how it is reached.

    Attributes:
        settings: Its own.
        transmitter: As the core knows it.
        client: Our access to it.
        push_url: Where events are to be pushed; empty where that is not known.
    """

    settings: SSFSettings
    transmitter: Transmitter
    client: TransmitterClient
    push_url: str


async def create(settings: Settings, tenant: str, push_url: str | None) -> Report:
    """Make the stream, or bring the one that is there up to date.

    Args:
        settings: In force.
        tenant: The stream's tenant.
        push_url: In place of the one that follows from `public.url`.
    """
    async with _open(settings, tenant) as stream:
        delivery = {"method": POLL}
        if stream.settings.delivery == "push":
            url = push_url or stream.push_url
            if not url:
                raise ConfigurationError("where shall events be pushed to? give --push-url, or set public.url")
            header = stream.settings.load_push_authorization()
            delivery = {"method": PUSH, "endpoint_url": url, **({"authorization_header": header} if header else {})}
        made, is_new = await stream.client.create(delivery)
        return {"created": is_new, **_shown(made), "hints": hints(made, stream.transmitter, stream.settings)}


async def status(settings: Settings, tenant: str, change_to: str | None) -> Report:
    """What the transmitter says of the stream, and what was heard of it here.

    Args:
        settings: In force.
        tenant: The stream's tenant.
        change_to: `enabled`, `paused` or `disabled`: set that first; None leaves it.

    Raises:
        RedisUnavailableError: what was heard cannot be read.
    """
    async with _open(settings, tenant) as stream, _notes(settings) as notes:
        there = await stream.client.stream()
        if change_to is not None:
            await stream.client.set_status(str(there["stream_id"]), change_to)
        told = await stream.client.status(str(there["stream_id"]))
        heard = await notes.read(tenant)
        return {
            **_shown(there),
            "status": told.get("status"),
            "reason": told.get("reason"),
            "last_heard": {name: None if value == "" else value for name, value in asdict(heard).items()},
            "hints": hints(there, stream.transmitter, stream.settings),
        }


async def verify(settings: Settings, tenant: str, wait_s: float) -> Report:
    """Have the transmitter send a verification, and wait until a receiver has taken it in.

    Args:
        settings: In force.
        tenant: The stream's tenant.
        wait_s: Seconds to wait.

    Raises:
        RedisUnavailableError: whether it came cannot be known.
    """
    async with _open(settings, tenant) as stream, _notes(settings) as notes:
        stream_id = str((await stream.client.stream())["stream_id"])
        state = await notes.ask(tenant)
        await stream.client.ask_for_verification(stream_id, state)
        began = time.monotonic()
        # Another process takes it in.
        while not (come := await notes.is_verified(tenant, state)) and time.monotonic() - began < wait_s:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        return {"stream_id": stream_id, "verified": come, "after_s": round(time.monotonic() - began, 1)}


async def subjects(settings: Settings, tenant: str, subject: Mapping[str, str], *, add: bool) -> Report:
    """Ask for events about one subject, or for no more of them; the transmitter's success proves nothing.

    Args:
        settings: In force.
        tenant: The stream's tenant.
        subject: In a format of RFC 9493; `iss_sub` without `iss` is the tenant's own.
        add: False removes it.
    """
    async with _open(settings, tenant) as stream:
        stream_id = str((await stream.client.stream())["stream_id"])
        named = {"iss": stream.transmitter.tenant.issuer} if subject["format"] == "iss_sub" else {}
        act = stream.client.add_subject if add else stream.client.remove_subject
        await act(stream_id, {**named, **subject})
        return {"stream_id": stream_id, "added" if add else "removed": {**named, **subject}}


async def delete(settings: Settings, tenant: str) -> Report:
    """End the stream; what waits there is lost."""
    async with _open(settings, tenant) as stream:
        stream_id = str((await stream.client.stream())["stream_id"])
        await stream.client.delete(stream_id)
        return {"stream_id": stream_id, "deleted": True}


def hints(stream: Mapping[str, Any], transmitter: Transmitter, settings: SSFSettings) -> list[str]:
    """What about a stream's configuration does not go with the settings."""
    found = []
    aud = stream.get("aud")
    if not any(map(transmitter.is_audience, aud if isinstance(aud, list) else [aud])):
        found.append(f"events would be refused for their aud: set ssf.audience to {aud}")
    if settings.stream_id not in {None, stream.get("stream_id")}:
        found.append(f"ssf.stream_id names another stream than {stream.get('stream_id')}")
    if not stream.get("events_delivered"):
        found.append("the transmitter will deliver no event that was asked for")
    method = {"push": PUSH, "poll": POLL}[settings.delivery]
    if not is_method(delivery_of(stream), method):
        found.append(f"ssf.delivery is {settings.delivery}, the stream's is {delivery_of(stream).get('method')}")
    elif not is_reachable(stream, method) and settings.poll_endpoint is None:
        found.append("the stream has no address to be delivered by: run receiver ssf create")
    return found


def _shown(stream: Mapping[str, Any]) -> Report:
    names = ("stream_id", "iss", "aud", "events_delivered", "delivery", "min_verification_interval", "default_subjects")
    shown = {name: stream[name] for name in names if name in stream}
    if isinstance(shown.get("delivery"), dict):
        # The header is a secret, and some transmitters send it back.
        shown["delivery"] = {key: "***" if "auth" in key else value for key, value in shown["delivery"].items()}
    return shown


@contextlib.asynccontextmanager
async def _open(settings: Settings, name: str) -> AsyncIterator[Stream]:
    of_tenant = next((tenant for tenant in settings.all_tenants if tenant.name == name), None)
    if of_tenant is None or of_tenant.ssf is None:
        raise ConfigurationError(f"no tenant {name} with a section ssf")
    if of_tenant.ssf.access is None:
        raise ConfigurationError(f"tenant {name}: ssf.access says how we reach the transmitter; set it")
    transmitter = of_tenant.ssf.to_transmitter(of_tenant.to_tenant())
    async with Fetcher(settings.outbound, ways_of(settings)) as fetcher:
        tokens = AccessTokens(of_tenant.ssf.access, transmitter.tenant, fetcher)
        yield Stream(
            settings=of_tenant.ssf,
            transmitter=transmitter,
            client=TransmitterClient(transmitter, tokens, fetcher, stream_id=of_tenant.ssf.stream_id),
            push_url=f"{settings.public.url.rstrip('/')}/ssf/{name}" if settings.public.url else "",
        )


@contextlib.asynccontextmanager
async def _notes(settings: Settings) -> AsyncIterator[StreamNotes]:
    async with settings.redis.opened() as client:
        with failing_as("Redis did not answer"):
            yield StreamNotes(client, settings.redis.key_names)
