"""Situations: who is signed out, and who is not."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from receiver.bus.keys import KeyNames
from tests.listeners.vectors import session_vectors
from tests.listeners.world import check

if TYPE_CHECKING:
    from tests.listeners.kit import Kit

LATER_S = 200
"""Seconds after a logout in which a refresh that was under way has come back for certain."""


async def logout(kit: Kit) -> None:
    """A session, a whole user, one of two; a sign-in after the logout lives."""
    await kit.start()
    alice, bob = await kit.signed_in("alice", "bob")
    (carol_1, carol_2) = await kit.signed_in("carol", sid="c-1") + await kit.signed_in("carol", sid="c-2")
    await kit.world.logout("alice", alice["sid"])
    await kit.becomes(alice, "ended", "a session that was signed out")
    await kit.expect(bob, "live", "another user's session")
    await kit.world.logout(None, "c-1")
    await kit.becomes(carol_1, "ended", "a session that was signed out by `sid` alone")
    await kit.expect(carol_2, "live", "the same user's other session")
    await kit.world.logout("bob", None)
    await kit.becomes(bob, "ended", "the session of a user who was signed out")
    later = kit.world.session("bob", "new", auth_time=int(time.time()) + 2)
    check(await kit.sign_in(later) == "live", "a sign-in after the logout does not begin")
    await kit.expect(later, "live", "a sign-in after the logout")
    pairwise = kit.world.session("alice-at-another-app", alice["sid"])
    await kit.expect(pairwise, "ended", "the session that was signed out, under another, pairwise `sub`")
    milliseconds = kit.world.session("alice", alice["sid"], auth_time=int(time.time()) * 1000)
    await kit.expect(milliseconds, "ended", "a session that was signed out, its `auth_time` in milliseconds")


async def one_client(kit: Kit) -> None:
    """A logout for one client ends that client's sessions only."""
    await kit.start()
    ours, theirs = await kit.signed_in("dora") + await kit.signed_in("dora", sid="sid-dora-2", aud="c2")
    await kit.world.publish([kit.world.eviction("c2", sub="dora", client_id="c2", applies_to="client")])
    await kit.becomes(theirs, "ended", "the session of the client that was named")
    await kit.expect(ours, "live", "a session of a client that was not named")
    await kit.world.publish([kit.world.eviction("all", sub="dora", client_id="c2")])
    await kit.becomes(ours, "ended", "a session of a client that was not named, where the logout is for the tenant")


async def marks(kit: Kit) -> None:
    """Marks planted by name and date, without an event: names, digests and dates are the contract's."""
    vectors = session_vectors()
    # A logout there was: this Redis is in use, and the receiver lets its epoch be.
    await kit.world.redis.set(KeyNames().sequence, 1)
    await kit.start()
    await kit.listens()
    wrong = []
    for vector in vectors:
        planted = {KeyNames().epoch: "0", **{KeyNames().mark(name): date for name, date in vector["marks"].items()}}
        await kit.world.redis.mset(planted)
        answer = await kit.ask(vector["claims"], account=vector["account"])
        if answer != ("ended" if vector["over"] else "live"):
            wrong.append(f"{vector['name']}: {answer}")
        await kit.world.redis.delete(*planted)
    kit.notes.append(f"{len(vectors)} vectors")
    check(not wrong, f"{len(wrong)} of {len(vectors)} decisions are wrong: {json.dumps(wrong[:5])}")


async def overtaken(kit: Kit) -> None:
    """A logout that comes before its sign-in has finished."""
    await kit.start()
    await kit.listens()
    session = kit.world.session("eve")
    await kit.world.logout("eve", session["sid"])
    # Only its mark is left.
    await kit.world.redis.xtrim(KeyNames().events, maxlen=0, approximate=False)
    check(await kit.sign_in(session) == "ended", "a session that was signed out before it began has begun")


async def refresh(kit: Kit) -> None:
    """Tokens of a session that has ended are neither handed out nor stored, also where code still holds them."""
    await kit.start()
    alice, bob = await kit.signed_in("alice", "bob")
    for claims in (alice, bob):
        check((await kit.listener.call("refresh", claims=claims))["allowed"], "a live session gets no tokens")
    await kit.world.logout("alice", alice["sid"])
    await kit.becomes(alice, "ended", "a session that was signed out")
    renewed = {**alice, "iat": int(time.time()) + 5}
    for claims, what in ((alice, "the old ID token"), (renewed, "an ID token renewed while the logout came")):
        for do in ("refresh", "write"):
            answer = await kit.listener.call(do, claims=claims)
            check(answer["allowed"] is False, f"`{do}` is allowed after the logout, with {what}")
    later = kit.world.session("alice", "sid-new", auth_time=int(time.time()) + 2)
    check(await kit.sign_in(later) == "live", "a sign-in after the logout does not begin")
    for claims, what in ((later, "a sign-in after the logout"), (bob, "another user")):
        for do in ("refresh", "write"):
            check((await kit.listener.call(do, claims=claims))["allowed"], f"`{do}` is not allowed for {what}")


async def pairwise(kit: Kit) -> None:
    """A `sid` that is known, signed out under another `sub`: only Redis knows whether it is the same session."""
    await kit.start()
    # Not by `sign_in`, which may register it: then only a logout under its own `sub` ends it.
    ours, theirs = kit.world.session("ours"), kit.world.session("theirs")
    for session in (ours, theirs):
        await kit.becomes(session, "live", "a session that nothing has ended")
    check(await kit.world.register(theirs), "the receiver does not register a sign-in")
    await kit.world.logout("ours-at-another-app", ours["sid"])
    await kit.becomes(ours, "ended", "a session that was known, and signed out under another, pairwise `sub`")
    await kit.world.logout("a-stranger", theirs["sid"])

    async def heard() -> bool:
        return int((await kit.health())["heard"]) > 1

    await kit.until(heard, "it has not heard of a logout")
    await kit.expect(theirs, "live", "a registered session, its `sid` signed out under a `sub` that is not its own")


async def renewed(kit: Kit) -> None:
    """Tokens without `auth_time`: after a logout of the user the `iat` of a renewed ID token proves nothing."""
    await kit.start()
    now = int(time.time())
    alice, carol = await kit.signed_in("alice", "carol", auth_time=..., iat=now)
    [bob] = await kit.signed_in("bob", auth_time=..., iat=now, sid=...)
    for claims, what in ((alice, "with a `sid`"), (bob, "without a `sid`")):
        check((await kit.listener.call("refresh", claims=claims))["allowed"], f"a live session {what} gets no tokens")
        await kit.world.logout(claims["sub"])
        await kit.becomes(claims, "ended", f"the session {what} of a user who was signed out")
        for do in ("refresh", "write"):
            answer = await kit.listener.call(do, claims={**claims, "iat": int(time.time()) + 5})
            check(answer["allowed"] is False, f"`{do}` is allowed with a renewed ID token {what}, and no `auth_time`")
    later = kit.world.session("alice", "sid-new", auth_time=..., iat=int(time.time()) + LATER_S)
    check(await kit.sign_in(later) == "live", "a sign-in after the logout does not begin")
    for claims, what in ((later, f"a sign-in {LATER_S} s after the logout"), (carol, "another user")):
        for do in ("refresh", "write"):
            check((await kit.listener.call(do, claims=claims))["allowed"], f"`{do}` is not allowed for {what}")
