"""Ports for one run of the demo, on loopback."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST = 8100
"""Preferred ports count up from here; 5000 and 7000 are taken on a Mac, 8000 and 8080 by whatever is developed."""

OTHERS = range(10_000, 32_000)
"""Below every system's range for outgoing connections, which would take a port before its server is up."""


def pick(names: list[str], *, stable: bool) -> dict[str, int]:
    """A free port for each name, all different.

    Args:
        names: In the order of the preferred ports, 8100 upwards.
        stable: True prefers those, so that addresses are the same at the next run; False takes any.
    """
    with contextlib.ExitStack() as held:
        # Each stays bound until all are chosen, so that no port is given twice.
        return {
            name: held.enter_context(_first_free([FIRST + number] if stable else [])).getsockname()[1]
            for number, name in enumerate(names)
        }


def _first_free(preferred: list[int]) -> socket.socket:
    for port in itertools.chain(preferred, _any_order()):
        probe = socket.socket()
        if os.name == "posix":
            # Elsewhere this option takes a port that is in use; here it only forgives one used a minute ago.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.close()
        else:
            return probe
    raise OSError("no free port on 127.0.0.1")


def _any_order() -> Iterator[int]:
    return iter(random.sample(OTHERS, k=1000))
