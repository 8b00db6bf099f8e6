"""A run: send, strike, repair, wait, compare."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from receiver.bus.keys import KeyNames
from tests.chaos.notes import Notes, Read
from tests.chaos.plan import KILLS, NETWORK, Plan, Strike
from tests.chaos.sender import Sender
from tests.chaos.table import App, Result
from tests.chaos.world import START_S, STEP_S, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from tests.chaos.children import Child, RedisChild

SLICES = 10
"""Steps in which logouts are let go between two strikes, so that they stream rather than burst."""

DELAY_S = 0.1
"""Seconds a slow network holds each packet back."""

POLL_S = 0.5
"""Seconds between two looks at what has arrived."""


async def run(plan: Plan, *, say: Callable[[str], None] = lambda _: None) -> Result:
    """Play the plan in a directory of its own, which is removed.

    Args:
        plan: What to do.
        say: Gets a line now and then.

    Raises:
        TimeoutError: it took longer than `plan.deadline_s`, or something did not start.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="logout-receiver-chaos-") as name:
        directory = Path(name)
        notes = Notes(directory / "acknowledged.notes")
        try:
            async with (
                asyncio.timeout(plan.deadline_s),
                World(directory, durable=plan.durable, kinds=plan.kinds) as world,
            ):
                try:
                    chaos = Chaos(plan, world, notes, say)
                    await chaos.play()
                    acknowledged = Read(directory / "acknowledged.notes")
                    acknowledged.refresh()
                    result = await chaos.judge(acknowledged.first)
                except BaseException:
                    say(world.logs())
                    raise
                result.minutes = (time.monotonic() - began) / 60
                result.logs = "" if result.good else world.logs()
                return result
        finally:
            notes.close()


class Chaos:
    """One plan, played in one world."""

    def __init__(self, plan: Plan, world: World, acknowledged: Notes, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._world = world
        self._say = say
        chance = random.Random(plan.seed)  # noqa: S311  # to be drawn again
        self._sender = Sender(world.op, world.urls, acknowledged, world.tokens, chance)
        self._struck: Counter[str] = Counter()
        self._went_back: list[float] = []

    async def play(self) -> None:
        """Return when everything was sent, everything struck and everything runs again."""
        strikes = self._plan.strikes()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sender.run(self._plan.logouts))
            group.create_task(self._strike_all(strikes, group))
        await self._world.until_ready()

    async def judge(self, acknowledged: dict[str, float]) -> Result:
        """Wait until everything acknowledged has arrived, or time is up, and compare."""
        deadline = time.monotonic() + self._plan.settle_s
        # What Redis itself has forgotten cannot arrive; the apps have to be told instead.
        forgotten = {name for name, at in acknowledged.items() if at <= max(self._went_back, default=0.0)}
        left: int | None = None
        while time.monotonic() < deadline:
            left = await self._world.in_outboxes()
            for notes in self._world.consumers.values():
                notes.refresh()
            if left == 0 and all(self._has_all(acknowledged, notes) for notes in self._world.consumers.values()):
                break
            await asyncio.sleep(POLL_S)
        stream = await asyncio.to_thread(self._read_stream)
        # What nobody acknowledged may still be on its way to the consumers.
        while time.monotonic() < deadline:
            for notes in self._world.consumers.values():
                notes.refresh()
            if all(stream.keys() <= notes.first.keys() for notes in self._world.consumers.values()):
                break
            await asyncio.sleep(POLL_S)
        sender = self._sender
        ended = {sender.users[event_id] for event_id in acknowledged.keys() - forgotten}
        while (tokens := await self._world.tokens.left(ended)) and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
        kept, found = await asyncio.to_thread(self._world.outbox_use)
        return Result(
            plan=self._plan,
            sent=sender.sent,
            acknowledged=len(acknowledged),
            retried=sender.retried,
            repeated=sender.repeated,
            given_up=sender.given_up,
            answers=dict(sorted(sender.answers.items())),
            struck=dict(self._struck),
            connections_cut=sum(proxy.cuts for proxy in self._world.proxies.values()),
            kept_in_outboxes=kept,
            found_in_outboxes=found,
            faults=await asyncio.to_thread(self._world.faults),
            unforeseen=self._world.unforeseen(),
            left_in_outboxes=left,
            published=len(stream),
            forgotten=len(forgotten - stream.keys()),
            not_published=len(acknowledged.keys() - stream.keys() - forgotten),
            published_twice=sum(count - 1 for count in stream.values()),
            unknown=len(stream.keys() - sender.users.keys()),
            tokens_left=len(tokens),
            apps=[
                _compare(app, notes, acknowledged, self._known(stream), self._missing(acknowledged, notes))
                for app, notes in self._world.consumers.items()
            ],
        )

    def _known(self, stream: Counter[str]) -> AbstractSet[str]:
        """What an app may have carried out: what is in the stream, or was in it before Redis went back."""
        return stream.keys() | self._sender.users.keys() if self._went_back else stream.keys()

    def _has_all(self, acknowledged: dict[str, float], notes: Read) -> bool:
        return not self._missing(acknowledged, notes)

    def _missing(self, acknowledged: dict[str, float], notes: Read) -> set[str]:
        """Acknowledged logouts this app has not carried out, without those it was told of by a reset."""
        told_until = max((at for at in self._went_back if any(reset > at for reset in notes.reset_times)), default=0.0)
        return {name for name, at in acknowledged.items() if name not in notes.first and at > told_until}

    async def _strike_all(self, strikes: list[Strike], group: asyncio.TaskGroup) -> None:
        logouts, let_go = self._plan.logouts, 0
        steps = max(1, len(strikes) * SLICES)
        for number, strike in enumerate(strikes):
            for piece in range(SLICES):
                due = logouts * (number * SLICES + piece + 1) // steps
                self._sender.allow(due - let_go)
                let_go = due
                await asyncio.sleep(strike.after_s / SLICES)
            if strike.what in KILLS:
                victim = await self._kill(strike)
                group.create_task(_restart(victim, strike.lasts_s))
            elif strike.what in NETWORK:
                group.create_task(self._break_network(strike))
            else:
                group.create_task(self._break(strike))
            self._struck[strike.what] += 1
            if (number + 1) % 20 == 0:
                self._say(f"{number + 1} of {len(strikes)} strikes, {self._sender.sent} logouts")
        self._sender.allow(logouts - let_go)

    async def _kill(self, strike: Strike) -> Child | RedisChild:
        everybody = self._world.children[strike.what]
        async with asyncio.timeout(START_S):
            while not (victims := [one for one in everybody if (one.running if strike.early else one.ready)]):
                await asyncio.sleep(0.02)
        victim = victims[int(strike.pick * len(victims))]
        victim.kill()
        return victim

    async def _break(self, strike: Strike) -> None:
        world = self._world
        if strike.what == "disk":
            disk = world.disks[int(strike.pick * len(world.disks))]
            await asyncio.to_thread(disk.fill)
            await asyncio.sleep(strike.lasts_s)
            disk.empty()
        elif strike.what == "clock":
            world.redis.step(STEP_S if strike.pick < 0.5 else -STEP_S)
            await asyncio.sleep(strike.lasts_s)
            world.redis.step(0)
        else:
            copy = await asyncio.to_thread(world.redis.copy)
            await asyncio.sleep(strike.lasts_s)
            self._went_back.append(await asyncio.to_thread(world.redis.go_back, copy))

    async def _break_network(self, strike: Strike) -> None:
        proxies = [self._world.proxies[side] for side in strike.sides]
        for proxy in proxies:
            if strike.what == "slow":
                proxy.delay_s = DELAY_S
            elif strike.what == "deaf":
                proxy.swallow_replies()
            else:
                proxy.refusing = strike.what == "refuse"
                await proxy.cut()
        if strike.what != "cut":
            await asyncio.sleep(strike.lasts_s)
            for proxy in proxies:
                await proxy.heal()

    def _read_stream(self) -> Counter[str]:
        """Event ids in the stream to how often they are there."""
        client = redis.Redis.from_url(self._world.redis.url)
        try:
            entries: Any = client.xrange(KeyNames().events)
        finally:
            client.close()
        return Counter(json.loads(fields[b"event"])["id"] for _, fields in entries)


def _compare(app: str, notes: Read, acknowledged: dict[str, float], known: AbstractSet[str], missing: set[str]) -> App:
    waits = [notes.first[event_id] - at for event_id, at in acknowledged.items() if event_id in notes.first]
    return App(
        name=app,
        evicted=len(acknowledged.keys() & notes.first.keys()),
        missing=len(missing),
        extra=len((notes.first.keys() & known) - acknowledged.keys()),
        unknown=len(notes.first.keys() - known),
        again=notes.repeats,
        resets=notes.resets,
        slowest_s=max(waits, default=0.0),
    )


async def _restart(child: Child | RedisChild, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await asyncio.to_thread(child.start)
