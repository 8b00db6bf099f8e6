"""A process that ends says goodbye by itself, so that no receiver takes its app for silent; each fork for itself."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

LISTENING = "{logout}:instances"

FLASK = """
import flask
from receiver.consumer.flask import SignOut
app = flask.Flask("portal")
SignOut(app, sys.argv[1])
serve = lambda: app.test_client().get("/")
"""

DJANGO = """
import django.test
from django.conf import settings
settings.configure(
    ROOT_URLCONF="__main__", ALLOWED_HOSTS=["*"], SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    SECRET_KEY="s" * 50, LOGOUT_RECEIVER={"REDIS_URL": sys.argv[1]},
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "receiver.consumer.django.SignOut"],
)
django.setup()
urlpatterns = []
serve = lambda: django.test.Client().get("/")
"""

SUBSCRIBER = """
from receiver.consumer import ThreadSubscriber
serve = ThreadSubscriber(sys.argv[1], print, app="portal").start
"""

STARTED_TOO_EARLY = """
import os
from receiver.consumer import ThreadGuard
guard = ThreadGuard(sys.argv[1], app="portal")
guard.start()
child = os.fork()
if child == 0:
    try:
        guard.status({"iss": "https://op", "sub": "u1", "sid": "s1", "aud": "c1"})
    except RuntimeError as error:
        print(error, flush=True)
    sys.exit()
os.waitpid(child, 0)
"""

ENDS = """
serve()
sys.stdin.readline()
"""

FORKS = """
import os
serve()
child = os.fork()
if child == 0:
    serve()
    sys.stdin.readline()
    sys.exit()
os.waitpid(child, 0)
print("child ended", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def run(redis_url: str, *parts: str) -> Iterator[subprocess.Popen[str]]:
    """A process of these pieces of a program."""
    with subprocess.Popen(
        # A name: it is looked up in a thread.
        [sys.executable, "-c", "\n".join(["import sys", *parts]), redis_url.replace("127.0.0.1", "localhost")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str]) -> None:
    """Let it come to its end, which is a good one."""
    _, errors = process.communicate("\n", timeout=60)
    assert 0 == process.returncode, errors
    assert "Error" not in errors


async def listening(client: redis.asyncio.Redis, expected: int) -> None:
    """Wait until so many processes have said that they listen."""

    async def are() -> bool:
        return expected == await client.zcard(LISTENING)

    await until(are)


@pytest.mark.parametrize("app", [FLASK, DJANGO, SUBSCRIBER], ids=["flask", "django", "subscriber"])
async def test_its_end(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, app: str) -> None:
    """It is gone from those that listen when it is over."""
    with run(redis_server.url, app, ENDS) as process:
        await listening(redis_client, 1)
        end(process)
    assert 0 == await redis_client.zcard(LISTENING)


async def test_a_fork_ends(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """A worker that was forked says its own goodbye, and not that of the process it is from."""
    with run(redis_server.url, FLASK, FORKS) as process:
        await listening(redis_client, 2)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert "child ended\n" == process.stdout.readline()
        assert 1 == await redis_client.zcard(LISTENING)
        end(process)
    assert 0 == await redis_client.zcard(LISTENING)


def test_used_in_a_fork(redis_server: EmbeddedRedis) -> None:
    """A guard that was started before a fork says so there; its thread is not in the fork, and would never answer."""
    with run(redis_server.url, STARTED_TOO_EARLY) as process:
        said, _ = process.communicate(timeout=60)
        assert 0 == process.returncode
        assert "start one in each process, after the fork" in said
