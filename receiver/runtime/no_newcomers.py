"""A listening socket that takes no further connection, while those that were begun are completed and accepted.

A connection that the kernel completes between the last `accept` and `close` is reset, and its client may have sent a
request already. Linux can be told to drop what begins one: the client tries again a moment later, and is refused.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys

SO_ATTACH_FILTER = 26
"""Of Linux, for sockets of any user; Python does not name it."""

_FLAGS, _SYN = 13, 0x02
_PROGRAM = b"".join(
    struct.pack("HBBI", *step)
    for step in (
        (0x30, 0, 0, _FLAGS),  # the byte of the TCP header with its flags
        (0x45, 0, 1, _SYN),  # where SYN is not set, skip one
        (0x06, 0, 0, 0),  # drop it
        (0x06, 0, 0, 0xFFFFFFFF),  # take all of it
    )
)
"""Classic BPF, as in the kernel's Documentation/networking/filter.rst."""


def refuse_newcomers(listening: socket.socket) -> bool:
    """Have the kernel drop what would begin a connection to it; False where it cannot, as on systems beside Linux."""
    if sys.platform != "linux":
        return False
    steps = ctypes.create_string_buffer(_PROGRAM, len(_PROGRAM))
    # Sandboxes may not offer it; then the moment between the two calls remains.
    with contextlib.suppress(OSError):
        filter_ = struct.pack("HP", len(_PROGRAM) // 8, ctypes.addressof(steps))
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_)
        return True
    return False
