"""Ports for one run of the demo, on loopback."""

from __future__ import annotations

import contextlib
import errno
import os
import socket

FIRST = 8100
"""Preferred ports count up from here; 5000 and 7000 are taken on a Mac, 8000 and 8080 by whatever is developed."""


def pick(names: list[str], *, stable: bool) -> dict[str, int]:
    """A free port for each name, all different.

    Args:
        names: In the order of the preferred ports, 8100 upwards.
        stable: True prefers those, so that addresses are the same at the next run; False takes any.
    """
    with contextlib.ExitStack() as held:
        # Each stays bound until all are chosen, so that no port is given twice.
        return {
            name: int(held.enter_context(_bound(FIRST + number if stable else 0)).getsockname()[1])
            for number, name in enumerate(names)
        }


def _bound(port: int) -> socket.socket:
    probe = socket.socket()
    if os.name == "posix":
        # Elsewhere this option takes a port that is in use; here it only forgives one used a minute ago.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", port))
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        probe.bind(("127.0.0.1", 0))
    return probe
