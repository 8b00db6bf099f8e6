"""One consumer as a process of its own: notes every eviction it carried out.

It keeps nothing in memory, so starting anew it has to look back as far as its predecessor got; that is what the
notes are read for. A real app has lost its sessions with the process and has nothing to look back for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from pathlib import Path

from receiver.consumer import Eviction, GroupSubscriber, Subscriber, ThreadGroupSubscriber, ThreadSubscriber
from tests.chaos.notes import RESET, Notes

TAKE_OVER_S = 3.0
"""Seconds after which a killed worker's entries are taken over; in earnest it is a minute."""


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["async", "thread", "group", "thread-group"])
    parser.add_argument("--app", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--notes", required=True, type=Path)
    parser.add_argument("--since", required=True, type=float, help="NumericDate seconds of the first logout")
    parser.add_argument("--margin", required=True, type=float, help="seconds read again for safety")
    given = parser.parse_args()
    since = _position(given.notes, given.since)
    notes = Notes(given.notes)

    def handle(eviction: Eviction) -> None:
        notes.add(eviction.id, eviction.received_at)

    def reset() -> None:
        notes.add(RESET)

    lookback_s = time.time() - since + given.margin
    sys.stdout.write(json.dumps({"event": "startup"}) + "\n")
    sys.stdout.flush()
    if given.kind == "async":
        asyncio.run(Subscriber(given.url, handle, app=given.app, on_reset=reset, lookback_s=lookback_s).run())
    elif given.kind == "group":
        asyncio.run(
            GroupSubscriber(
                given.url, handle, app=given.app, on_reset=reset, lookback_s=lookback_s, min_idle_s=TAKE_OVER_S
            ).run()
        )
    elif given.kind == "thread":
        ThreadSubscriber(given.url, handle, app=given.app, on_reset=reset, lookback_s=lookback_s).start()
        threading.Event().wait()
    else:
        ThreadGroupSubscriber(
            given.url, handle, app=given.app, on_reset=reset, lookback_s=lookback_s, min_idle_s=TAKE_OVER_S
        ).start()
        threading.Event().wait()


def _position(notes: Path, since: float) -> float:
    """A time before which everything has been handled: events are handled in order, and received before they appear."""
    lines = notes.read_text(encoding="utf-8").split("\n")[:-1] if notes.exists() else []
    handled = [words for line in lines if len(words := line.split()) == 3]
    return float(handled[-1][1]) if handled else since


if __name__ == "__main__":
    main()
