"""Flow control: a client is read from as fast as it takes its answers; what it sends waits in its kernel meanwhile.

One that has closed its own side still gets the answer to what it asked.
"""

from __future__ import annotations

from aiohttp import EMPTY_PAYLOAD, StreamReader, web


class FlowControlled(web.RequestHandler):
    """aiohttp's connection, which reads nothing more of a client while the answers to it are not read.

    aiohttp writes short answers without a look at the client. Unread, they would fill the memory.

    Attributes:
        behind: What came behind a request that is worked on, and waits for its answer; nothing more is read then.
        is_unread: Whether more of its answers wait than the client reads.
        is_half_closed: Whether the client sends nothing more, and waits for an answer.
    """

    behind = b""
    is_unread = False
    is_half_closed = False
    # Of the last request that was parsed, until its answer; others may wait before it.
    _body: StreamReader = EMPTY_PAYLOAD
    # A whole request that was not parsed, for its head was known, until its answer.
    _unparsed = b""

    def data_received(self, data: bytes) -> None:
        """Some bytes are to be parsed."""
        super().data_received(data)
        if self._messages:
            self._body = self._messages[-1][1]

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp never keeps the connection
        """The client sends nothing more; whether the connection is kept until it has its answer.

        Only for a request whose body is there to its end. One without a body may be a stream's, whose client has left.
        """
        is_whole = self._body is not EMPTY_PAYLOAD and self._body.is_eof()
        self.is_half_closed = is_whole or bool(self._unparsed)
        return self.is_half_closed

    def pause_writing(self) -> None:
        """The client does not read its answers: until it does, none of its requests is read."""
        super().pause_writing()
        self.is_unread = True
        self.read_on()

    def resume_writing(self) -> None:
        """It has read most of them."""
        super().resume_writing()
        self.is_unread = False
        self.read_on()

    def read_on(self) -> None:
        """Read what the client sends, unless something has to be done first."""
        if self.transport is None or self.transport.is_closing():
            return
        # aiohttp stops by itself where a body is not read, or too many requests wait.
        if self.behind or self.is_unread or self._reading_paused or getattr(self, "_buffer_paused", False):
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _resume_transport_reading(self) -> None:
        self.read_on()
