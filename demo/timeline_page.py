"""The live timeline: one page that tells in order what happened, and what is true now. Its own process.

The browser asks twice a second; nothing is pushed, so that a reload always shows the whole truth.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Any

import flask
import redis
from werkzeug.serving import make_server

from demo import timeline, token_cache
from demo.pages import render
from demo.settings import PageSettings
from demo.timeline import Entry, Happened
from receiver.core.eviction import eviction_id

KINDS = {"AccessToken": "access", "RefreshToken": "refresh", "IdToken": "ID"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline.

    Attributes:
        at: Seconds since the epoch.
        actor: Who did it: `OP`, `receiver` or an app's name.
        text: One sentence.
        after_ms: Milliseconds since the OP's POST, for what a sign-out caused.
        claims: The logout token's claims, on the line that posts it.
    """

    at: float
    actor: str
    text: str
    after_ms: int | None = None
    claims: Any = None


@dataclass(frozen=True, slots=True)
class Chapter:
    """Lines that belong together, oldest first."""

    title: str
    lines: list[Line]


SENTENCES = {
    Happened.CHAPTER: ("", "{title}"),
    Happened.OP_SIGNED_IN: ("OP", "{username} gave the password, on the way to {client_id}"),
    Happened.APP_SIGNED_IN: ("{app}", "{username} is signed in at {app}"),
    Happened.TOKENS_CACHED: ("{app}", "{username}'s tokens are in the shared cache: {kind_names}"),
    Happened.OP_SIGNED_OUT: ("OP", "{username} signed out; apps to tell: {apps}"),
    Happened.LOGOUT_POSTED: ("OP", "posts a logout token for {client_id}"),
    Happened.LOGOUT_ANSWERED: ("receiver", "{answer} to the token for {client_id}"),
    Happened.EVICTION: ("receiver", "put the eviction of {who} on the stream"),
    Happened.APP_FORGOT: ("{app}", "{forgot}"),
    Happened.APP_DROPPED_SESSION: ("{app}", "{username}'s browser came back and is signed out"),
}
"""Actor and sentence for each kind of entry."""


def chapters(entries: list[Entry]) -> list[Chapter]:
    """The entries as sentences, oldest first, in chapters, newest first: what is going on stays in sight."""
    told: list[Chapter] = []
    for entry, line in zip(entries, lines(entries), strict=True):
        if entry.kind is Happened.CHAPTER or not told:
            told.append(Chapter(entry.data.get("title", ""), []))
        if entry.kind is not Happened.CHAPTER:
            told[-1].lines.append(line)
    return told[::-1]


def lines(entries: list[Entry]) -> list[Line]:
    """The entries as sentences, in the same order."""
    names = {entry.data["sub"]: entry.data["username"] for entry in entries if entry.kind is Happened.OP_SIGNED_IN}
    posted_at = {
        eviction_id(entry.data["claims"]["iss"], entry.data["claims"]["jti"]): entry.at
        for entry in entries
        if entry.kind is Happened.LOGOUT_POSTED
    }
    return [_line(entry, names, posted_at) for entry in entries]


def _line(entry: Entry, names: dict[str, str], posted_at: dict[str, float]) -> Line:
    data = entry.data
    accounts = data.get("accounts") or [data.get("account", "")]
    who = ", ".join(names.get(account, account) for account in accounts)
    forgot = f"forgot {who}: {data.get('removed')} entries removed from the shared cache"
    words = {
        **data,
        "who": who,
        "kind_names": ", ".join(name for kind, name in KINDS.items() if kind in data.get("kinds", [])),
        "forgot": forgot if data.get("removed") else f"heard it too; nothing of {who} was left",
        "apps": ", ".join(data.get("client_ids", [])),
        "answer": f"answered {data['status']}" if data.get("status") else "did not answer",
    }
    started = posted_at.get(str(data.get("eviction_id")))
    actor, sentence = SENTENCES[entry.kind]
    return Line(
        at=entry.at,
        actor=actor.format_map(words),
        text=sentence.format_map(words),
        after_ms=data.get("ms") if started is None else round((entry.at - started) * 1000),
        claims=data.get("claims"),
    )


def present_state(client: redis.Redis, entries: list[Entry], users: list[str]) -> list[dict[str, Any]]:
    """For each user: sessions open at the OP, and the kinds of token each app has in the shared cache.

    Returns:
        `[{"username": str, "op_sessions": int, "portal": [kind, …], "orders": [kind, …]}, …]`
    """
    held = token_cache.holdings(client)
    open_sessions: dict[str, str] = {}
    for entry in entries:
        if entry.kind is Happened.OP_SIGNED_IN:
            open_sessions[entry.data["sid"]] = entry.data["username"]
        elif entry.kind is Happened.OP_SIGNED_OUT:
            open_sessions.pop(entry.data["sid"], None)
    return [
        {
            "username": user,
            "op_sessions": list(open_sessions.values()).count(user),
            **{app: [KINDS[kind] for kind in KINDS if held[user, app, kind]] for app in ("portal", "orders")},
        }
        for user in users
    ]


def main() -> None:
    """Serve until ended."""
    settings = PageSettings.from_command_line()
    client = redis.Redis.from_url(settings.redis_url)
    app = flask.Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # claims stay in the order of the token
    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    @app.get("/")
    def page() -> str:
        return render("timeline", links=settings.links, users=settings.users)

    @app.get("/timeline.json")
    def snapshot() -> dict[str, Any]:
        entries = timeline.read_all(client)
        return {
            "chapters": [asdict(chapter) for chapter in chapters(entries)],
            "state": present_state(client, entries, list(settings.users)),
        }

    make_server("127.0.0.1", settings.port, app, threaded=True).serve_forever()


if __name__ == "__main__":
    main()
