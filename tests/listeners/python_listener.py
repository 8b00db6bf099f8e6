"""This package's own listener, driven by the kit: `python -m tests.listeners.python_listener [FAULT]`.

With the name of a fault it does one thing wrong on purpose, to show that the kit notices.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from typing import Any

from receiver.consumer import Guard, acks, health, knowledge, reader, subscriber
from tests.listeners import faults

Answer = dict[str, Any]


def set_wait(seconds: float) -> None:
    """In every module that has taken these constants: the kit has no time for those in earnest."""
    times = {"BLOCK_S": seconds, "STALE_AFTER_S": seconds * 2, "HEARTBEAT_S": seconds * 2, "RETRY_S": seconds / 2}
    for module in (acks, health, knowledge, reader, subscriber):
        for name in times.keys() & vars(module).keys():
            setattr(module, name, times[name])


class Listener:
    """What the kit's orders do."""

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self._resets = 0
        self._heard = 0
        self._clear = "works"
        self._refuse_unknown = False
        self._claims: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.guard: Guard

    async def start(self, order: Answer) -> Answer:
        """Begin to listen."""
        set_wait(order["wait_s"])
        if self._fault:
            faults.plant(self._fault)
        self._clear, self._refuse_unknown = order["clear"], order["when_unknown"] == "refuse"
        self.guard = Guard(
            order["redis"], app=order["app"], prefix=order["prefix"], client_id=order["client_id"],
            refuse_when_unknown=self._refuse_unknown, on_eviction=self._on_eviction,
            on_reset=self._on_reset,
        )  # fmt: skip
        await self.guard.start()
        return {}

    async def sign_in(self, order: Answer) -> Answer:
        """Begin a session; an app keeps its claims."""
        self._claims[_session_of(order["claims"])] = order["claims"]
        return {"status": await self.guard.sign_in(order["claims"], home_account_id=order.get("account"))}

    async def ask(self, order: Answer) -> Answer:
        """One request of a session."""
        return {"status": await self.guard.status(order["claims"], home_account_id=order.get("account"))}

    async def refresh(self, order: Answer) -> Answer:
        """Tokens are handed out, or stored, where the session goes on; an app asks by the claims of its sign-in."""
        claims, account = self._claims.get(_session_of(order["claims"])), order.get("account")
        if self._fault == "renewed":
            claims = order["claims"]
        if claims is not None:
            status = await self.guard.status(claims, home_account_id=account)
        else:
            status = await self.guard.token_status(order["claims"], home_account_id=account)
        unknown = not self._refuse_unknown or self._fault == "choice"
        return {"allowed": status == "live" or self._fault == "refresh" or (status == "unknown" and unknown)}

    write = refresh

    async def health(self, _: Answer) -> Answer:
        """What it says of itself."""
        said = self.guard.health()
        return {
            "hears": said.hears or self._fault == "start", "skipped": said.skipped, "resets": self._resets,
            "heard": self._heard,
        }  # fmt: skip

    async def loop(self, order: Answer) -> Answer:
        """One session, asked about many times."""
        claims, account = order["claims"], order.get("account")
        began = time.perf_counter()
        for _ in range(order["times"]):
            await self.guard.status(claims, home_account_id=account)
        return {"us": (time.perf_counter() - began) * 1e6 / order["times"]}

    async def stop(self, _: Answer) -> Answer:
        """Stop listening."""
        await self.guard.stop()
        return {}

    async def _on_eviction(self, _: object) -> None:
        self._heard += 1
        if self._clear == "hangs":
            await asyncio.Event().wait()
        if self._clear == "fails":
            raise RuntimeError("the app's cache does not work")

    def _on_reset(self) -> None:
        self._resets += 1


def _session_of(claims: dict[str, Any]) -> tuple[Any, ...]:
    """What stands for the app's own session, which an app has at hand."""
    return claims.get("iss"), claims.get("sub"), claims.get("sid"), claims.get("auth_time")


async def main() -> None:
    """Read orders until standard input ends; each is carried out on its own."""
    listener = Listener(sys.argv[1] if len(sys.argv) > 1 else "")
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orders: set[asyncio.Task[None]] = set()
    async for line in reader:
        task = asyncio.create_task(carry_out(listener, json.loads(line)))
        orders.add(task)
        task.add_done_callback(orders.discard)


async def carry_out(listener: Listener, order: Answer) -> None:
    """One order, and the line that answers it."""
    try:
        answer = await getattr(listener, order["do"])(order)
    except Exception as error:  # noqa: BLE001  # the kit shows it
        answer = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps({"id": order["id"], **answer}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    asyncio.run(main())
