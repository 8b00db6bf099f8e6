"""`run_demo`: raise the stage, play the story, and stay up for a browser if asked to."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from demo import timeline
from demo.stage import Stage, StageError
from demo.story import Story
from demo.timeline import Happened

if TYPE_CHECKING:
    from collections.abc import Iterator


def run_demo(*, once: bool, subscribe: bool = True, patience_s: float = 10.0) -> int:
    """Play the story on real parts, print it, and check every sentence of it against real state.

    Args:
        once: True ends after the story. False then stays up for a browser until Ctrl-C.
        subscribe: False starts the apps without their subscriber: the story must then fail.
        patience_s: Seconds the story waits for the apps to forget a user.

    Returns:
        0 when everything that should be gone is gone and everything else stayed; 1 otherwise.

    Raises:
        ConfigurationError: there is no redis-server.
    """
    started = time.monotonic()
    print("Starting Redis, an OpenID Provider, the receiver and two web apps, all on this machine ...", flush=True)
    try:
        with _terminable(), Stage(stable_ports=not once, subscribe=subscribe) as stage:
            print(f"Ready after {time.monotonic() - started:.1f} s.")
            timeline.report(stage.redis, Happened.CHAPTER, title="The story, played by a script")
            good = Story(stage, patience_s=patience_s).play()
            if not once:
                timeline.report(stage.redis, Happened.CHAPTER, title="Your turn")
                good = _stay_up(stage) and good
    except StageError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped before the story ended.", file=sys.stderr)
        return 1
    return 0 if good else 1


def _stay_up(stage: Stage) -> bool:
    """Wait for Ctrl-C; False when a part ended by itself before."""
    print("\nNow it is your turn. Everything stays up until you press Ctrl-C.\n")
    for name, address in {**stage.urls, "sign out": stage.sign_out_url}.items():
        print(f"   {name:9} {address}")
    print(f"\n   Passwords: {', '.join(f'{user} / {password}' for user, password in stage.users.items())}")
    print(f"   Settings and logs, until the end: {stage.directory}", flush=True)
    try:
        while (ended := stage.ended_part()) is None:
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("\nStopping.")
        return True
    print(f"The {ended} process ended by itself; stopping the others.\n{stage.logs()}", file=sys.stderr)
    return False


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that no child is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
