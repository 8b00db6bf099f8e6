"""Orders that their OP wants to be called back about once they are done, and where; kept until then."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from receiver.core.eviction import Eviction
from receiver.core.layouts import foreign_json
from receiver.core.numeric_date import numeric_date
from receiver.errors import BadEventError, BadValueError

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.keys import KeyNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One order.

    Attributes:
        eviction: What was ordered.
        entry_id: Its place in the stream.
        relation: Names the OP, its tenant and our client: where its metadata says what address is called.
        token: The OP's, for this one call.
        deadline: NumericDate seconds after which the OP is told what is missing.
        tries: Calls that failed.
        not_before: NumericDate seconds until which it is not called again.
    """

    eviction: Eviction
    entry_id: str
    relation: str
    token: str
    deadline: float
    tries: int = 0
    not_before: float = 0.0

    def to_json(self) -> str:
        """As it is kept."""
        members = (self.eviction.to_json(), self.entry_id, self.relation, self.token, self.deadline, self.tries)
        return json.dumps([*members, self.not_before])

    def again(self, not_before: float) -> Callback:
        """The same after a call that failed."""
        return replace(self, tries=self.tries + 1, not_before=not_before)


def read_callback(text: bytes) -> Callback:
    """One order as it is kept.

    Raises:
        BadValueError: it is not one.
    """
    match foreign_json.parse(text):
        case [str(event), str(entry_id), str(relation), str(token), deadline, int(tries), not_before]:
            # A number that is no date, or has hundreds of digits, would be reckoned with later.
            until, since = numeric_date(deadline), numeric_date(not_before)
            if until is None or since is None or tries < 0:
                raise BadValueError("shape")
            try:
                return Callback(
                    eviction=Eviction.from_json(event), entry_id=entry_id, relation=relation, token=token,
                    deadline=until, tries=tries, not_before=since,
                )  # fmt: skip
            except BadEventError as error:
                raise BadValueError("shape") from error
        case _:
            raise BadValueError("shape")


class Callbacks:
    """What is kept of all tenants. Every method may raise what `connection.Failure` names."""

    def __init__(self, client: redis.asyncio.Redis, keys: KeyNames) -> None:
        self._client = client
        self._keys = keys

    async def note_endpoint(self, relation: str, endpoint: str | None) -> None:
        """Where the OP of this relation is called from now on; None has it not called."""
        if endpoint is None:
            await self._client.hdel(self._keys.callback_endpoints, relation)
        else:
            await self._client.hset(self._keys.callback_endpoints, relation, endpoint)

    async def endpoint(self, relation: str) -> str | None:
        """Where it is called; None for nowhere."""
        found: bytes | None = await self._client.hget(self._keys.callback_endpoints, relation)  # type: ignore[assignment]
        return None if found is None else found.decode("utf-8", "replace")

    async def put(self, callback: Callback) -> None:
        """Keep an order until it is done with."""
        await self._client.hset(self._keys.callbacks, callback.eviction.id, callback.to_json())

    async def done(self, event_id: str) -> None:
        """Forget it."""
        await self._client.hdel(self._keys.callbacks, event_id)

    async def waiting(self) -> int:
        """How many are kept."""
        return int(await self._client.hlen(self._keys.callbacks))

    async def all(self) -> dict[str, Callback | None]:
        """Every order by its event's id; None for one that cannot be read."""
        stored: dict[Any, Any] = await self._client.hgetall(self._keys.callbacks)
        return {name.decode("utf-8", "replace"): _read(text) for name, text in stored.items()}


def _read(text: bytes) -> Callback | None:
    try:
        return read_callback(text)
    except BadValueError:
        return None
