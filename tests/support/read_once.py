"""What every receiver and every connection reads anew, and is the same all through a run: read once per process.

A third of what it takes to start a receiver is the system's CAs.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import redis.utils

from receiver.outbound.egress import Egress

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable


def read_once() -> None:
    """From now on, in this process."""
    redis.utils.get_lib_version = functools.cache(redis.utils.get_lib_version)
    Egress.tls = _tls_of(Egress.tls)  # type: ignore[assignment, method-assign]


def _tls_of(read: Callable[[Egress], ssl.SSLContext]) -> Callable[[Egress], ssl.SSLContext]:
    """With CAs of a test's own they are read each time: a test may exchange them."""
    of_the_system = functools.cache(read)

    def tls(egress: Egress) -> ssl.SSLContext:
        return of_the_system(egress) if egress.ca_file is None else read(egress)

    return tls
