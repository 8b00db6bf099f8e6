"""The story: two people sign in to two apps, one signs out, and every sentence is checked against real state.

Nothing is believed because it was sent: what the cache holds is read from Redis, what an app can do is asked
of the app, what was published is read from the receiver's stream.
"""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import requests

from demo import timeline, token_cache
from demo.person import Person
from demo.stage import APPS, SUBS, USERS, Stage
from demo.timeline import Entry, Happened
from receiver.core.eviction import eviction_id

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

PATIENCE_S = 10.0
"""Seconds the story waits for the apps to have heard; it takes some hundredths of one."""

KIND_NAMES = {"AccessToken": "access", "RefreshToken": "refresh", "IdToken": "ID"}


class Story:
    """Plays on a stage and keeps count of what was as told.

    Args:
        stage: Running.
        patience_s: Seconds to wait for what must happen.
    """

    def __init__(self, stage: Stage, *, patience_s: float = PATIENCE_S) -> None:
        self._stage = stage
        self._patience_s = patience_s
        self._results: list[bool] = []

    def play(self) -> bool:
        """Tell all of it.

        Returns:
            True when every check held.
        """
        people = {username: Person(username, password) for username, password in self._stage.users.items()}
        try:
            with people["alice"] as alice, people["bob"] as bob:
                self._sign_in(alice, bob)
                before = self._show_cache("3. What the shared token cache in Redis holds now (counts, never a token)")
                self._sign_out(alice)
                self._check_gone(alice)
                self._check_kept(bob, before)
                self._sign_in_again(alice)
                self._sign_out_all([alice, bob])
        except requests.RequestException as error:
            self._check(False, f"a page did not answer: {error}")
            print(self._stage.logs())
        passed, failed = self._results.count(True), self._results.count(False)
        print(f"\n{'✗' if failed else '✓'} {passed} of {passed + failed} checks passed.")
        return not failed

    def _sign_in(self, alice: Person, bob: Person) -> None:
        print("\n1. alice opens portal and gives her password, then opens orders: single sign-on, no password.")
        for app in APPS:
            alice.sign_in(self._stage.urls[app])
        self._check(alice.passwords_given == 1, "the OP asked alice for her password once")
        for app in APPS:
            self._check_acts_as(alice, app)
        print("\n2. bob does the same in his own browser.")
        for app in APPS:
            bob.sign_in(self._stage.urls[app])
        for app in APPS:
            self._check_acts_as(bob, app)

    def _show_cache(self, title: str) -> Counter[tuple[str, str, str]]:
        print(f"\n{title}")
        held = token_cache.holdings(self._stage.redis)
        for username in USERS:
            cells = []
            for app in APPS:
                kinds = [f"{held[username, app, kind]} {name}" for kind, name in KIND_NAMES.items()]
                cells.append(f"{app}: {', '.join(kinds)}")
            print(f"     {username:6} {'   '.join(cells)}")
        return held

    def _sign_out(self, alice: Person) -> None:
        print("\n4. alice signs out at the OP. Her browser talks to the OP only; no app is asked anything.")
        alice.sign_out(self._stage.sign_out_url)
        for posted in self._entries(Happened.LOGOUT_POSTED):
            claims = posted.data["claims"]
            print(f"   The OP posts a signed logout token for {claims['aud']}:")
            print(_indented(claims))
            answers = self._entries(Happened.LOGOUT_ANSWERED, jti=claims["jti"])
            answer = answers[0].data if answers else {"status": 0, "ms": 0}
            self._check(
                answer["status"] == HTTPStatus.OK,
                f"the receiver answered {answer['status'] or 'nothing'} in {answer['ms']} ms",
            )
            self._check(self._is_on_stream(claims), "the eviction it published names alice's account and this token")
        told = sorted(entry.data["client_id"] for entry in self._entries(Happened.LOGOUT_POSTED))
        self._check(told == sorted(APPS), "there was one logout token for each app of alice's session")

    def _check_gone(self, alice: Person) -> None:
        print("\n5. What is left of alice?")
        posts = self._entries(Happened.LOGOUT_POSTED)
        for app in APPS:
            heard = self._wait_for(lambda app=app: self._has_heard_all(app, posts))  # type: ignore[misc]
            first = self._entries(Happened.APP_FORGOT, app=app, account=SUBS["alice"])
            took = f", {(first[0].at - posts[0].at) * 1000:.0f} ms after the OP's POST" if first and posts else ""
            not_heard = f"{app} has not forgotten alice after {self._patience_s:.0f} s"
            self._check(heard, f"{app} forgot alice{took}" if heard else not_heard)
        held = token_cache.holdings(self._stage.redis)
        left = sum(count for (username, _, _), count in held.items() if username in {"alice", SUBS["alice"]})
        gone = left == 0 and SUBS["alice"] not in token_cache.accounts_held(self._stage.redis)
        self._check(gone, f"the shared cache holds {left or 'no'} tokens of alice")
        for app in APPS:
            status = alice.status(self._stage.urls[app])
            self._check(
                status["silent_call"] == "nothing" and status["userinfo"] is None,
                f"{app}: the silent token call that worked before now answers: {status['silent_call']}",
            )
            self._check(
                status["signed_in_as"] is None and status["signed_out"] == "alice",
                f"{app}: alice's browser is {'signed in' if status['signed_in_as'] else 'signed out'}",
            )

    def _check_kept(self, bob: Person, before: Counter[tuple[str, str, str]]) -> None:
        print("\n6. bob notices nothing.")
        for app in APPS:
            self._check_acts_as(bob, app)
        after = token_cache.holdings(self._stage.redis)
        kept = [{key: count for key, count in held.items() if key[0] == "bob"} for held in (before, after)]
        self._check(
            bool(kept[0]) and kept[0] == kept[1],
            f"the shared cache holds the same {sum(kept[1].values())} tokens of bob",
        )

    def _sign_in_again(self, alice: Person) -> None:
        print("\n7. alice signs in again. A sign-out ends what was before it, not what comes after.")
        before = alice.passwords_given
        for app in APPS:
            alice.sign_in(self._stage.urls[app])
        self._check(alice.passwords_given == before + 1, "the OP asked for her password again")
        for app in APPS:
            self._check_acts_as(alice, app)

    def _sign_out_all(self, people: list[Person]) -> None:
        print("\n8. Both sign out.")
        for person in people:
            person.sign_out(self._stage.sign_out_url)
        posts = self._entries(Happened.LOGOUT_POSTED)
        heard = self._wait_for(lambda: all(self._has_heard_all(app, posts) for app in APPS))
        left = sum(token_cache.holdings(self._stage.redis).values())
        self._check(heard and not left, f"the shared cache holds {left or 'no'} tokens of anybody")

    def _check_acts_as(self, person: Person, app: str) -> None:
        status = person.status(self._stage.urls[app])
        answered_as = (status["userinfo"] or {}).get("preferred_username")
        works = status["signed_in_as"] == answered_as == person.username and status["silent_call"] == "token"
        self._check(
            works,
            f"{app}: {status['signed_in_as'] or 'nobody'} is signed in; "
            f"silent token call: {status['silent_call']}; userinfo: {answered_as}",
        )

    def _has_heard_all(self, app: str, posts: list[Entry]) -> bool:
        heard = {entry.data["eviction_id"] for entry in self._entries(Happened.APP_FORGOT, app=app)}
        return bool(posts) and {_eviction_id(post.data["claims"]) for post in posts} <= heard

    def _is_on_stream(self, claims: dict[str, Any]) -> bool:
        return any(
            entry.data["jti"] == claims["jti"] and entry.data["accounts"] == [SUBS["alice"]]
            for entry in self._entries(Happened.EVICTION, eviction_id=_eviction_id(claims))
        )

    def _entries(self, kind: Happened, **expected: str) -> list[Entry]:
        return [
            entry
            for entry in timeline.read_all(self._stage.redis)
            if entry.kind is kind and expected.items() <= entry.data.items()
        ]

    def _wait_for(self, condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + self._patience_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _check(self, holds: bool, sentence: str) -> None:
        self._results.append(holds)
        print(f"   {'✓' if holds else '✗'} {sentence}", flush=True)


def _eviction_id(claims: dict[str, Any]) -> str:
    return eviction_id(claims["iss"], claims["jti"])


def _indented(claims: dict[str, Any]) -> str:
    return "\n".join(f"       {line}" for line in json.dumps(claims, indent=2).splitlines())
