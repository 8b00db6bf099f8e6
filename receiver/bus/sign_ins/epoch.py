"""The epoch: when Redis had lost its marks. Receivers alone write it; a restart of an app does not forget it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.bus.lua import Script

if TYPE_CHECKING:
    from collections.abc import Iterable

    import redis.asyncio

    from receiver.bus.keys import KeyNames

EPOCH = Script.read("epoch")


async def begin_if_lost(
    client: redis.asyncio.Redis, keys: KeyNames, *, now_s: float, in_use: Iterable[str] = ()
) -> int | None:
    """Write an epoch where there is none; may raise what `connection.Failure` names.

    It is the present time where stream and numbering are gone too, for then the marks are. Else it is 0, which ends no
    session: an earlier release wrote none.

    Args:
        client: With the receiver's rights.
        keys: Key names.
        now_s: NumericDate seconds.
        in_use: Further keys that only an installation in use has. Where one is there nothing was lost either.

    Returns:
        The epoch written, NumericDate seconds; None where none was.
    """
    written = await EPOCH.run_loaded(client, (keys.events, keys.sequence, keys.epoch, *in_use), (int(now_s),))
    return None if written is None else int(written)
