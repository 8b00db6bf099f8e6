"""`receiver apps`: which apps are known to listen, and forgetting one that is gone for good."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from receiver.bus.events import acks, apps
from receiver.bus.events.trace import LIVE_S
from receiver.bus.link.connection import failing_as
from receiver.diagnosis.claim_text import instant
from receiver.diagnosis.terminal import dump, plain, table

if TYPE_CHECKING:
    from receiver.ops.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One app.

    Attributes:
        app: Its name.
        declared: Whether the setting `apps` names it.
        instances: How many are known.
        last_seen: NumericDate seconds when any of them was last heard of; None for never.
    """

    app: str
    declared: bool
    instances: int
    last_seen: float | None


async def listening(settings: Settings) -> list[App]:
    """Every app that is declared or was heard of, by name.

    Raises:
        ConfigurationError: the settings name no Redis that others could publish to.
        RedisUnavailableError: Redis cannot be read.
    """
    async with settings.redis.opened() as client:
        with failing_as("cannot read who is listening"):
            found = await acks.instances(client, settings.redis.key_names)
    return [
        App(
            app=name,
            declared=name in settings.apps,
            instances=sum(instance.app == name for instance in found),
            last_seen=max((i.last_seen_ms / 1000 for i in found if i.app == name), default=None),
        )
        for name in sorted({*settings.apps, *(instance.app for instance in found)})
    ]


async def forget(settings: Settings, name: str) -> str:
    """Forget an app that is gone, so that `receiver trace` no longer waits for it; empty, or why that was not enough.

    Raises:
        ConfigurationError: the settings name no Redis that others could publish to.
        RedisUnavailableError: Redis cannot be reached.
    """
    async with settings.redis.opened() as client:
        try:
            listening = await apps.forget(client, settings.redis.key_names, name, silent_for_s=LIVE_S)
        except KeyError:
            return f"no app {name} is known; receiver apps list names those that are"
    if listening:
        return f"{len(listening)} of its instances were heard of within {LIVE_S:g} s and are kept; stop them first"
    if name in settings.apps:
        return "forgotten, but the setting apps still names it: trace waits for it until it is taken out there"
    return ""


def to_json(known: list[App]) -> str:
    """One object for each."""
    return dump([asdict(app) for app in known], indent=2)


def to_text(known: list[App]) -> str:
    """One line for each."""
    rows = [
        (
            app.app,
            f"{app.instances} instances",
            "never heard of" if app.last_seen is None else f"last heard of {instant(app.last_seen)}",
        )
        for app in known
    ]
    return "\n".join(map(plain, table(rows))) or "No app was ever heard of."
