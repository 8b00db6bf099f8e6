"""One consumer as a process of its own, with the library of the directory it is started in; notes what it is told."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

from receiver.consumer import Eviction, GroupSubscriber, Subscriber, ThreadSubscriber

LOOKBACK_S = 600.0
TAKE_OVER_S = 3.0


def main() -> None:
    """Run until killed."""
    kind, app, url, notes = sys.argv[1:]

    def note(word: str) -> None:
        with Path(notes).open("a", encoding="utf-8") as file:
            file.write(f"{word} {time.time()}\n")

    def handle(eviction: Eviction) -> None:
        note(eviction.id)

    def reset() -> None:
        note("reset")

    sys.stdout.write(json.dumps({"event": "startup"}) + "\n")
    sys.stdout.flush()
    if kind == "thread":
        ThreadSubscriber(url, handle, app=app, on_reset=reset, lookback_s=LOOKBACK_S).start()
        threading.Event().wait()
    elif kind == "async":
        asyncio.run(Subscriber(url, handle, app=app, on_reset=reset, lookback_s=LOOKBACK_S).run())
    else:
        subscriber = GroupSubscriber(
            url, handle, app=app, on_reset=reset, lookback_s=LOOKBACK_S, min_idle_s=TAKE_OVER_S
        )
        asyncio.run(subscriber.run())


if __name__ == "__main__":
    main()
