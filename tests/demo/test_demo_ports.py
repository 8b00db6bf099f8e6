from __future__ import annotations

import socket

from demo import ports


def test_ports_differ() -> None:
    """No port is given twice, and none from the range for outgoing connections."""
    picked = ports.pick(["a", "b", "c"], stable=False)

    assert len(set(picked.values())) == 3
    assert all(port in ports.OTHERS for port in picked.values())


def test_taken_port_is_replaced() -> None:
    """A preferred port that is in use is left alone; the others keep theirs if they can."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", ports.FIRST))
            taken.listen()
        except OSError:
            pass  # somebody else holds it, which is the same case

        picked = ports.pick(["timeline"], stable=True)

    assert picked["timeline"] in ports.OTHERS
