"""What refused requests leave behind: nothing that waits for the garbage collector, which comes seldom."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from receiver.errors import ReceiverError
from tests.support.keys import rsa_pair
from tests.support.receiver import FORM
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.op import OP
    from tests.support.receiver import Receiver

REFUSALS = 3
"""More than one in a batch, which takes another way than one alone."""


def errors_of_ours() -> list[object]:
    """All that there are in this process."""
    # Not `isinstance`, which some objects of frameworks answer with an error.
    return [one for one in gc.get_objects() if issubclass(type(one), ReceiverError)]


@pytest.fixture
def left() -> Iterator[Callable[[], list[object]]]:
    """Tells the errors of ours that the test has left behind. No garbage is collected meanwhile."""
    gc.collect()
    # Kept, so that no later one gets the place of one of them.
    before = errors_of_ours()
    known = {id(one) for one in before}
    gc.disable()
    yield lambda: [one for one in errors_of_ours() if id(one) not in known]
    gc.enable()
    before.clear()


async def refused(receiver: Receiver, path: str, token: str) -> None:
    """POST it in one piece, on a connection that ends with the answer."""
    body = urlencode({"logout_token": token})
    head = (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: {FORM}\r\nContent-Length: {len(body)}"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.server.public_port)
    writer.write(f"{head}\r\n\r\n{body}".encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize("path", ["/backchannel-logout", "/backchannel-logout?a=1"], ids=["together", "by itself"])
@pytest.mark.parametrize("fault", ["kid", "encoding"])
async def test_refused_logouts_leave_nothing(
    receiver: Receiver, op: OP, left: Callable[[], list[object]], path: str, fault: str
) -> None:
    """Whichever way they came, and whether a rule or a decoder of ours raised the error."""
    forged = op.token(header={"kid": "forged"}, key=rsa_pair("forger"))
    token = forged if fault == "kid" else f"abcde{forged[forged.index('.') :]}"

    await asyncio.gather(*(refused(receiver, path, token) for _ in range(REFUSALS)))

    await until(lambda: not left())


async def test_refused_calls_of_the_api_leave_nothing(receiver: Receiver, left: Callable[[], list[object]]) -> None:
    """Neither do they."""
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.server.internal_port)
    writer.write(b"GET /v1/sessions HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
    writer.close()

    await until(lambda: not left())
