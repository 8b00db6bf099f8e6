"""Logouts through the Service while pods come and go, on connections that are kept and on new ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import aiohttp

if TYPE_CHECKING:
    from tests.support.op import OP

SENDERS = 6
"""Of each kind."""

PAUSE_S = 0.1
"""Seconds between two logouts of a sender."""


class Load:
    """Sends while it is open.

    Args:
        url: Where logouts are sent.
        op: Signs them.

    Attributes:
        accepted: The `jti` of every logout that was answered 200.
        failed: What went wrong, with the kind of connection.
    """

    def __init__(self, url: str, op: OP) -> None:
        self._url = url
        self._op = op
        self.accepted: list[str] = []
        self.failed: list[str] = []
        self._over = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for kind in ("kept", "new"):
            self._tasks += [asyncio.create_task(self._send(kind, f"{kind}-{n}")) for n in range(SENDERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        # What is under way is finished: only whole answers count.
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _send(self, kind: str, name: str) -> None:
        connector = aiohttp.TCPConnector(force_close=kind == "new")
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as http:
            number = 0
            while not self._over:
                number += 1
                await self._one(http, kind, f"{name}-{number}")
                await asyncio.sleep(PAUSE_S)

    async def _one(self, http: aiohttp.ClientSession, kind: str, jti: str) -> None:
        form = {"logout_token": self._op.token(jti=jti, sub=jti, sid=jti)}
        try:
            async with http.post(self._url, data=form) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failed.append(f"{kind}: {type(error).__name__}: {error}")
        else:
            if status == 200:
                self.accepted.append(jti)
            else:
                self.failed.append(f"{kind}: {status}")
