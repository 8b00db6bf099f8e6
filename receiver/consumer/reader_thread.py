"""Run a consumer on the event loop of a thread, for apps without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Self, TypeVar

from receiver.consumer.background import BackgroundLoop
from receiver.consumer.reader import Reader

if TYPE_CHECKING:
    from receiver.consumer.health import Health

AnyReader = TypeVar("AnyReader", bound=Reader)


class ReaderThread(Generic[AnyReader]):
    """Runs a `Reader` on the loop of a daemon thread. Start it once per process, after a fork, or use `with`."""

    def __init__(self, reader: AnyReader, *, name: str) -> None:
        self._reader = reader
        self._loop = BackgroundLoop(name=name)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self.stop()

    @property
    def skipped(self) -> int:
        """As `Reader.skipped`."""
        return self._reader.skipped

    def health(self) -> Health:
        """As `Reader.health`."""
        return self._reader.health()

    def start(self) -> None:
        """Begin to listen; returns at once, whether or not Redis can be reached yet."""
        self._loop.run(self._reader.__aenter__())

    def stop(self) -> None:
        """Stop listening and wait for the handler call in progress. Not from the handler."""
        if self._loop.runs:
            self._loop.run(self._reader.__aexit__())
            self._loop.close()
