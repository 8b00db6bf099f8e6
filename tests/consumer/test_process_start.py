"""A process that has no file descriptor or no thread left when it is to begin to listen."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from receiver.bus.link.embedded import EmbeddedRedis

DEADLINE_S = 60
"""Seconds; longer means that it hangs."""

NO_DESCRIPTOR = """
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, hard))
def relieve():
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
"""

NO_THREAD = """
threading.stack_size(1 << 46)
def relieve():
    threading.stack_size(0)
"""

PROGRAM = """
import os, resource, sys, threading
from receiver.consumer import ThreadGuard
from receiver.consumer.background import PerProcess
guards = PerProcess(lambda: ThreadGuard(sys.argv[1], app="portal"))
{shortage}
try:
    guards.get()
except (OSError, RuntimeError) as error:
    print(type(error).__name__)
relieve()
guards.get().caught_up(30)
print(guards.get().health().hears)
guards.stop()
"""


@pytest.mark.parametrize(
    ("shortage", "error"),
    [(NO_DESCRIPTOR, "OSError"), (NO_THREAD, "RuntimeError")],
    ids=["no descriptor", "no thread"],
)
def test_shortage_at_the_first_request(redis_server: EmbeddedRedis, shortage: str, error: str) -> None:
    """The first request fails and does not hang; the next one begins to listen."""
    program = [sys.executable, "-W", "ignore", "-c", PROGRAM.format(shortage=shortage), redis_server.url]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert f"{error}\nTrue\n" == ended.stdout, ended.stderr
