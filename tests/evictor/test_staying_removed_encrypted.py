"""Encrypted values written back after a logout: what was registered, and when, tells old from new."""

from __future__ import annotations

import time
from typing import Any

import pytest

from receiver.evictor import early
from receiver.evictor.decisions import MAX_GUESSED
from tests.evictor.rig import WEB, Work, register

KEY = "web:u1"

CIPHERTEXT = b"\x09\xf0\xc9\xf0"
"""How Data Protection's ciphertext begins."""


async def test_encrypted_values(work: Work) -> None:
    """Of a value that cannot be read it counts that it was written where one was removed, twice; later it stays."""
    async with work(WEB) as world:
        await world.put_data(KEY, b"\x09\xf0\xc9\xf0 1")
        await world.log_out_user("u1")
        assert await world.gone(KEY)
        for number in range(MAX_GUESSED):
            await world.put_data(KEY, b"\x09\xf0\xc9\xf0 %d" % number)
            await world.watched("web:")
            assert await world.gone(KEY)
        await world.put_data(KEY, b"\x09\xf0\xc9\xf0 3")
        await world.watched("web:")
        assert not await world.gone(KEY)


@pytest.mark.parametrize(
    ("home", "keys", "key", "registered_first"),
    [
        ("u1", (), KEY, True),
        ("u1", (), KEY, False),
        ("0a0a.7b7b", (), "web:0a0a.7b7b", True),
        ("0a0a.7b7b", (), "web:0a0a.7b7b", False),
        ("0a0a.7b7b", ("web:any",), "web:any", True),
        ("0a0a.7b7b", ("web:any",), "web:any", False),
    ],
)
async def test_a_new_sign_in_with_encrypted_values(  # of one sign-in
    work: Work, monkeypatch: pytest.MonkeyPatch, home: str, keys: tuple[str, ...], key: str, *, registered_first: bool
) -> None:
    """Registered with a later `auth_time` it keeps its tokens, also those written a moment before it was registered."""
    monkeypatch.setattr(early, "PATIENCE_S", 3600.0)
    async with work(WEB) as world:
        times: dict[str, Any] = {"home_account_id": home, "auth_time": world.now - 60}
        await register(world, *keys, sid="s1", **times)
        await world.put_data(key, CIPHERTEXT)
        await world.log_out(sub="u1", sid="s1")
        assert await world.gone(key)
        world.clock.advance(30)
        if registered_first:
            await register(world, *keys, sid="s2", **{**times, "auth_time": world.now})
        for number in range(MAX_GUESSED + 1):
            await world.put_data(key, CIPHERTEXT + b" %d" % number)
            await world.watched("web:")
            # Every other look in between is as patient.
            await world.worker.watcher.read_all()
            assert not await world.gone(key)
        if not registered_first:
            await register(world, *keys, sid="s2", **{**times, "auth_time": world.now})
        await world.worker.examiner.look_again(float("inf"))
        assert not await world.gone(key)


async def test_an_old_sign_in_with_encrypted_values(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered before, and not since: what comes back is removed when its app has had time to register a new one."""
    monkeypatch.setattr(early, "PATIENCE_S", 3600.0)
    async with work(WEB) as world:
        await register(world, KEY, sid="s1", auth_time=world.now - 60)
        await world.put_data(KEY, CIPHERTEXT)
        await world.log_out(sub="u1", sid="s1")
        for number in range(MAX_GUESSED):
            # Another session of the user that was there before proves nothing.
            await register(world, KEY, sid="s0", auth_time=world.now - 120)
            await world.put_data(KEY, CIPHERTEXT + b" %d" % number)
            await world.watched("web:")
            await world.worker.examiner.look_again(float("inf"))
            assert await world.gone(KEY)


async def test_an_old_write_just_before_a_new_sign_in(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new sign-in's value is judged for itself, after a time of its own, and not when the old one's is over."""
    monkeypatch.setattr(early, "PATIENCE_S", 3600.0)
    monkeypatch.setattr(early, "LONGEST_S", 7200.0)
    async with work(WEB) as world:
        await register(world, sid="s1", auth_time=world.now - 60)
        await world.put_data(KEY, CIPHERTEXT)
        await world.log_out(sub="u1", sid="s1")
        await world.put_data(KEY, CIPHERTEXT + b" old")
        await world.watched("web:")
        began = time.monotonic()
        await world.put_data(KEY, CIPHERTEXT + b" new")
        await world.worker.examiner.look_again(began + 3600)
        assert not await world.gone(KEY)
        await register(world, sid="s2", auth_time=world.now + 30)
        await world.worker.examiner.look_again(float("inf"))
        assert not await world.gone(KEY)


async def test_a_logout_after_a_new_sign_in_with_encrypted_values(work: Work) -> None:
    """It ends the new one; the registration is no proof against it."""
    async with work(WEB) as world:
        for session in ("s1", "s2"):
            await register(world, KEY, sid=session, auth_time=world.now)
            world.clock.advance(30)
            await world.put_data(KEY, CIPHERTEXT)
            await world.watched("web:")
            assert not await world.gone(KEY)
            await world.log_out(sub="u1", sid=session)
            assert await world.gone(KEY)
            world.clock.advance(30)
        await world.put_data(KEY, CIPHERTEXT)
        await world.watched("web:")
        await world.worker.examiner.look_again(float("inf"))
        assert await world.gone(KEY)
