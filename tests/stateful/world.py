"""The real code around one Redis: a receiver's publisher and two apps, each of which may crash and start again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from receiver.bus.events.publish import Durability, EvictionPublisher, Published, Retention
from receiver.bus.keys import KeyNames
from receiver.bus.link import connection
from receiver.core.eviction import Eviction
from receiver.core.marks import digest
from receiver.errors import PublishError
from tests.stateful.app import App
from tests.stateful.oracle import ISS, Login, Logout

if TYPE_CHECKING:
    from receiver.bus.link.embedded import EmbeddedRedis

KEYS = KeyNames()


class World:
    """Everything that runs.

    Args:
        server: Keeps its data over a crash.

    Attributes:
        apps: `portal` has an event loop, `orders` has none.
    """

    def __init__(self, server: EmbeddedRedis) -> None:
        self._server = server
        self.apps = {
            name: App(server.url, name, threads=threads) for name, threads in (("portal", False), ("orders", True))
        }
        # Unlike the receiver's it waits for as long as Redis takes to come back.
        self._patient = self.apps["portal"].redis

    async def start(self) -> None:
        """Empty Redis, new processes."""
        self._start_receiver()
        self._patient.flushall()
        self._patient.set(KEYS.epoch, 0)
        for app in self.apps.values():
            await app.start()

    async def stop(self) -> None:
        """End everything."""
        for app in self.apps.values():
            await app.stop()
            app.redis.close()
        await self._client.aclose()

    async def publish(self, logout: Logout) -> Published:
        """The receiver takes in a logout token and answers."""
        return await self._publisher.publish(eviction(logout))

    async def crash_while_publishing(self, logout: Logout, steps: int) -> bool:
        """Redis crashes when the publisher is so far; whether the token was acknowledged all the same."""
        publishing = asyncio.ensure_future(self._publisher.publish(eviction(logout)))
        for _ in range(steps):
            await asyncio.sleep(0)
        self.restart_redis()
        try:
            await publishing
        except PublishError:
            return False
        return True

    def restart_redis(self) -> None:
        """A crash, and up again with what was on disk."""
        self._server.kill()
        self._server.start()

    async def restart_receiver(self) -> None:
        """A new process with a new publisher."""
        await self._client.aclose()
        self._start_receiver()

    async def restart_app(self, name: str) -> None:
        """A new process: local marks and position are lost."""
        await self.apps[name].stop()
        await self.apps[name].start()

    async def events(self) -> list[Eviction]:
        """Everything published, oldest first, once every app has heard it."""
        entries: list[Any] = self._patient.xrange(KEYS.events)  # type: ignore[assignment]
        if entries:
            for app in self.apps.values():
                await app.has_heard(entries[-1][0].decode())
        return [Eviction.from_json(fields[b"event"]) for _, fields in entries]

    def is_registered(self, login: Login) -> bool:
        """Whether the registry has this very session."""
        user = digest("sub", ISS, login.sub)
        lines = str(self._patient.get(KEYS.user(user)))
        if f':session:{login.key}"' not in lines:
            return False
        session = digest("sid", ISS, login.sid) if login.sid else None
        return session is None or user in str(self._patient.hget(KEYS.session_bucket(session), session))

    def _start_receiver(self) -> None:
        self._client = connection.connect(self._server.url, timeout_s=2.0)
        self._publisher = EvictionPublisher(self._client, KEYS, Retention(), durability=Durability(try_for_s=2.0))


def eviction(logout: Logout) -> Eviction:
    """What the receiver makes of the token."""
    return Eviction(
        id=logout.id, tenant="t1", iss=ISS, client_id=logout.client, sub=logout.sub, sid=logout.sid, jti=logout.id,
        scope="user" if logout.user_wide else "session", applies_to="client" if logout.client_only else "tenant",
        logout_at=logout.logout_at, received_at=1.0,
    )  # fmt: skip
