"""An OP that sends logout tokens, and sends again what was not answered 200."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

import aiohttp

from receiver.core.eviction import eviction_id
from tests.support.clock import Clock

if TYPE_CHECKING:
    import random

    from tests.chaos.notes import Notes
    from tests.chaos.tokens import Tokens
    from tests.support.op import OP

CONNECTIONS = 24
"""Logouts under way at once."""

TRIES = 120
"""Times one token is sent before it is given up."""

ONCE = 0.2
"""Share of the tokens that are sent once only, as most OPs do: without a 200 they may or may not be published."""

WRITTEN_BACK = 0.2
"""Share of the logouts after which a refresh that was in flight writes the tokens back."""

IN_FLIGHT_S = 2.0
"""Longest time such a refresh takes, seconds."""

PAUSE_S, MAX_PAUSE_S = 0.1, 1.0
"""Seconds before a token is sent again: the first pause, doubled up to the longest."""

ANSWER_S = 10.0
"""Seconds to wait for an answer."""

REPEATED = 0.05
"""Share of the tokens sent once more although the answer was 200: it may be lost on its way to the OP."""


class WallClock(Clock):
    """The real time."""

    def __call__(self) -> float:
        """NumericDate seconds."""
        return time.time()


class Sender:
    """Sends each logout to one receiver after the other until one answers 200.

    Args:
        op: Signs, with ES256.
        urls: Where the receivers take logout tokens.
        acknowledged: Gets the event id of every logout that was answered 200, before the next one is sent.
        tokens: The users' tokens, which are there before the logout.
        chance: Decides which are repeated.

    Attributes:
        sent: Logouts begun.
        users: Of these, by event id; what is published must be among them.
        retried: Times a token was sent again because it was not answered 200.
        repeated: Times one was sent again though it was.
        given_up: Logouts never answered 200.
        answers: Status, or `broken`, to how often.
    """

    def __init__(self, op: OP, urls: list[str], acknowledged: Notes, tokens: Tokens, chance: random.Random) -> None:
        self._op = op
        self._urls = urls
        self._acknowledged = acknowledged
        self._tokens = tokens
        self._late: set[asyncio.Task[None]] = set()
        self._chance = chance
        self._allowed = asyncio.Semaphore(0)
        self._total = 0
        self.sent = 0
        self.users: dict[str, str] = {}
        self.retried = 0
        self.repeated = 0
        self.given_up = 0
        self.answers: dict[str, int] = {}

    def allow(self, logouts: int) -> None:
        """Let so many more go."""
        for _ in range(logouts):
            self._allowed.release()

    async def run(self, logouts: int) -> None:
        """Return when so many were sent and acknowledged, or given up."""
        self._total = logouts
        limit = aiohttp.ClientTimeout(total=ANSWER_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=limit, connector=connector) as http, asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self._send_some(http))
        await asyncio.gather(*self._late)

    async def _send_some(self, http: aiohttp.ClientSession) -> None:
        while self.sent < self._total:
            await self._allowed.acquire()
            if self.sent >= self._total:
                break
            self.sent += 1
            await self._send(http, self.sent)
        # The others may be waiting for a permission that nobody gives any more.
        self._allowed.release()

    async def _send(self, http: aiohttp.ClientSession, number: int) -> None:
        user, jti = uuid.uuid4().hex, uuid.uuid4().hex
        event_id = eviction_id(self._op.issuer, jti)
        self.users[event_id] = user
        await self._tokens.write(user)
        token = self._op.token(header={"alg": "ES256"}, sub=user, sid=f"s-{user}", jti=jti, exp=int(time.time()) + 7200)
        pause_s = PAUSE_S
        for attempt in range(1 if self._chance.random() < ONCE else TRIES):
            if attempt:
                self.retried += 1
                await asyncio.sleep(pause_s * self._chance.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
            if await self._post(http, self._urls[(number + attempt) % len(self._urls)], token):
                self._acknowledged.add(event_id)
                break
        else:
            self.given_up += 1
            return
        if self._chance.random() < WRITTEN_BACK:
            self._late.add(asyncio.create_task(self._write_back(user)))
        if self._chance.random() < REPEATED:
            self.repeated += 1
            await self._post(http, self._chance.choice(self._urls), token)

    async def _write_back(self, user: str) -> None:
        await asyncio.sleep(self._chance.uniform(0, IN_FLIGHT_S))
        await self._tokens.write(user)

    async def _post(self, http: aiohttp.ClientSession, url: str, token: str) -> bool:
        try:
            async with http.post(url, data={"logout_token": token}) as response:
                await response.read()
                answer = str(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError):
            answer = "broken"
        self.answers[answer] = self.answers.get(answer, 0) + 1
        return answer == "200"
