"""An event loop in a daemon thread, so that apps without one use the async classes."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import functools
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from receiver.tasks import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Result = TypeVar("Result")

LEAVE_S = 2.0
"""Seconds the end of a process waits for a consumer on its loop to end. With more, a handler that hangs, or a Redis
that is away, holds up a restart; what was not said by then expires."""


class BackgroundLoop:
    """An event loop in a daemon thread, started by the first call. Threads do not survive a fork: see `PerProcess`.

    Args:
        name: Of the thread.
    """

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._pid = 0
        self._leave: Callable[[], None] | None = None

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine there and wait for its result.

        Raises:
            RuntimeError: called on that thread itself, or in a fork of the process that has it: it would wait for ever.
                Or there is no thread left for it.
            OSError: there is no file descriptor left for it.
        """
        if self._loop is not None and self._pid != os.getpid():
            coroutine.close()
            raise RuntimeError(
                "this was started before the process was forked; start one in each process, after the fork"
            )
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a blocking call on the thread of the event loop it needs; make it from another thread")
        try:
            loop = self._started()
        except BaseException:
            coroutine.close()
            raise
        # Not in the caller's context: connections that are opened there keep it, and with it a request and its user.
        return contextvars.Context().run(asyncio.run_coroutine_threadsafe, coroutine, loop).result()

    @property
    def runs(self) -> bool:
        """Whether it was started and not closed."""
        return self._loop is not None

    def leave_with_process(self, stop: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Have this run when the interpreter of this process ends, for `LEAVE_S` at most, unless `close` came before.

        A signal that Python does not handle ends no interpreter, and neither does `os._exit`.
        """
        self._leave = functools.partial(self._at_exit, stop)
        atexit.register(self._leave)

    def _at_exit(self, stop: Callable[[], Coroutine[Any, Any, object]]) -> None:
        # A fork inherits the call, and has no such thread.
        if os.getpid() == self._pid and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.set_default_executor, _InPlace())
            # Nothing is left to be told of an error.
            with contextlib.suppress(Exception):
                asyncio.run_coroutine_threadsafe(stop(), self._loop).result(LEAVE_S)

    def close(self) -> None:
        """End the loop; another call starts it again."""
        if self._leave is not None:
            atexit.unregister(self._leave)
        with self._lock:
            thread, loop, closing = self._thread, self._loop, self._closing
            self._thread = self._loop = self._closing = None
        if thread is not None and loop is not None and closing is not None:
            loop.call_soon_threadsafe(closing.set)
            thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                # Made here and not in the thread, so that the caller is told where that fails, and does not wait. It
                # keeps the context it is made in, too.
                loop, closing = contextvars.Context().run(asyncio.new_event_loop), asyncio.Event()
                thread = threading.Thread(target=_run, args=(loop, closing), name=self._name, daemon=True)
                try:
                    thread.start()
                except BaseException:
                    loop.close()
                    raise
                self._pid, self._thread, self._loop, self._closing = os.getpid(), thread, loop, closing
            return self._loop


def _run(loop: asyncio.AbstractEventLoop, closing: asyncio.Event) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(closing.wait())


class _InPlace(ThreadPoolExecutor):
    """Runs at once what it is given, such as the look-up of a host name: no thread can be begun any more by then."""

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            future.set_exception(error)
        return future


def off_loop(function: Callable[..., None]) -> Callable[..., Coroutine[Any, Any, None]]:
    """The same function, called in a thread of its own: one that blocks must not hold up the loop.

    The caller waits for its end, also when it is cancelled meanwhile. Only `Task.cancelling` tells it of that, so that
    it can note first what was done. A daemon thread, so that a function that hangs does not keep the process alive.
    """

    async def call(*arguments: object) -> None:
        outcome: Future[None] = Future()

        def run() -> None:
            try:
                function(*arguments)
                outcome.set_result(None)
            except BaseException as error:  # noqa: BLE001  # raised where it is waited for
                outcome.set_exception(error)

        # The span it is called in is then the parent of its own.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(run,), name=threading.current_thread().name, daemon=True).start()
        with contextlib.suppress(asyncio.CancelledError):
            await finish(_result(outcome))
        outcome.result()

    return call


async def _result(outcome: Future[None]) -> None:
    await asyncio.wrap_future(outcome)


class Stoppable(Protocol):
    """What `PerProcess` keeps."""

    def start(self) -> None:
        """Called once, in the process it is for."""

    def stop(self) -> None:
        """Called in the same process."""


Kept = TypeVar("Kept", bound=Stoppable)


class PerProcess(Generic[Kept]):
    """One object in every process that asks for it: threads and connections do not survive a fork.

    Args:
        make: Makes one, not started.
    """

    def __init__(self, make: Callable[[], Kept]) -> None:
        self._make = make
        # By process id, so that no lock is needed that another thread might hold while forking.
        self._objects: dict[int, Kept] = {}

    def get(self) -> Kept:
        """This process's own, started on the first call; where that raises, the next call makes and starts another."""
        return self._objects.get(os.getpid()) or self._begin()

    def stop(self) -> None:
        """Stop this process's own, if there is one; `get` starts another."""
        found = self._objects.pop(os.getpid(), None)
        if found is not None:
            found.stop()

    def _begin(self) -> Kept:
        candidate = self._make()
        found = self._objects.setdefault(os.getpid(), candidate)
        if found is candidate:
            try:
                found.start()
            except BaseException:
                # Only the call that put it there starts it.
                del self._objects[os.getpid()]
                raise
        return found
