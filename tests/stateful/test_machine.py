"""Any interleaving of logins, logouts, refreshes and crashes: who was signed out is, and nobody else."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.stateful.oracle import USERS, Login, Logout, OPSession, Oracle, User
from tests.stateful.world import World

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.stateful.app import Blob

SECONDS = st.integers(0, 2)
"""That pass before something happens, on the OP's clock; 0 makes it a tie."""

CLIENTS = st.sampled_from(("portal", "orders"))


class Interleavings(RuleBasedStateMachine):
    """One example is one story; `server` outlives them all."""

    server: EmbeddedRedis

    at_op = Bundle("at_op")
    logins = Bundle("logins")
    pending = Bundle("pending")
    refreshes = Bundle("refreshes")
    logouts = Bundle("logouts")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000
        self.count = 0
        self.sessions: dict[str, Login] = {}
        self.unregistered: dict[str, Login] = {}
        self.tokens: list[Logout] = []
        self.in_doubt: set[str] = set()
        self.oracle = Oracle()
        self.loop = asyncio.new_event_loop()
        self.world = World(self.server)
        self.run(self.world.start())
        self.first = [OPSession(user, self.name("sid"), self.now) for user in USERS]

    # Long enough for something to go wrong: most stories Hypothesis tells have few steps.

    @initialize(target=at_op)
    def somebody_is_there(self) -> MultipleResults[OPSession]:
        """Everybody has authenticated once."""
        return multiple(*self.first)

    @initialize(target=logins, missing=st.sets(st.integers(0, 5), max_size=3))
    def some_are_signed_in(self, missing: set[int]) -> MultipleResults[Login]:
        """Most of them at both apps."""
        opened = [
            self.login(at, client)
            for number, (at, client) in enumerate(itertools.product(self.first, ("portal", "orders")))
            if number not in missing
        ]
        for login in opened:
            self.register(login)
        return multiple(*opened)

    # Signing in

    @rule(target=at_op, user=st.sampled_from(USERS), with_sid=st.sampled_from((True, True, False)), after=SECONDS)
    def sign_in_at_op(self, user: User, with_sid: bool, after: int) -> OPSession:
        """Somebody authenticates in a browser."""
        self.now += after
        return OPSession(user, self.name("sid") if with_sid else None, self.now)

    @rule(session=at_op, after=SECONDS)
    def authenticate_again(self, session: OPSession, after: int) -> None:
        """The OP asks for the password anew; the session keeps its `sid`."""
        self.now += after
        session.auth_time = self.now

    @rule(target=logins, session=at_op, clients=st.sampled_from((("portal",), ("orders",), ("portal", "orders"))))
    def open_apps(self, session: OPSession, clients: tuple[str, ...]) -> MultipleResults[Login]:
        """The apps get tokens and register at once."""
        opened = [self.login(session, client) for client in clients if self.has_room(session, client)]
        for login in opened:
            self.register(login)
        return multiple(*opened)

    @rule(target=pending, session=at_op, client=CLIENTS)
    def open_app_slowly(self, session: OPSession, client: str) -> Login | MultipleResults[Login]:
        """The app gets tokens; registering comes later, maybe after the logout."""
        if not self.has_room(session, client):
            return multiple()
        login = self.login(session, client)
        self.unregistered[login.key] = login
        return login

    @rule(target=logins, login=consumes(pending))
    def register_late(self, login: Login) -> Login:
        """At last."""
        del self.unregistered[login.key]
        self.register(login)
        return login

    @rule(target=logins, session=at_op, login=logins)
    def step_up(self, session: OPSession, login: Login) -> Login:
        """An app sends its user to authenticate anew and keeps the app's session id."""
        login = self.sessions.get(login.key, login)
        if login.key not in self.oracle.registered or login.sid is None or login.sid != session.sid:
            return login
        stepped_up = replace(login, auth_time=session.auth_time)
        self.register(stepped_up)
        return stepped_up

    @rule(login=logins)
    def register_again(self, login: Login) -> None:
        """After a refresh some apps register anew, with the new ID token: other `iat`, same `auth_time`."""
        login = self.sessions[login.key]
        if self.app(login).holds(login):
            self.register(login, iat=self.now)

    @rule(target=refreshes, login=logins)
    def begin_refresh(self, login: Login) -> tuple[Login, Blob | None]:
        """The app reads its token cache and asks the OP."""
        return self.sessions[login.key], self.app(login).tokens(login)

    @rule(refresh=consumes(refreshes))
    def end_refresh(self, refresh: tuple[Login, Blob | None]) -> None:
        """The answer is there; the cache is written back as it was, with new tokens."""
        login, tokens = refresh
        if tokens is not None and self.sessions[login.key] == login:
            self.app(login).refreshed(login, tokens, self.now)

    # Signing out

    @rule(
        target=logouts,
        session=at_op,
        client=CLIENTS,
        how=st.sampled_from(("sid", "sub", "both", "both, user-wide")),
        client_only=st.sampled_from((False, False, False, True)),
        age=st.sampled_from((0, 0, 1, 3)),
        fate=st.sampled_from(("answered", "answered", "answered", "lost before", "lost after", "crash")),
        steps=st.integers(0, 12),
        after=SECONDS,
    )
    def log_out(  # noqa: PLR0917  # drawn by name
        self, session: OPSession, client: str, how: str, client_only: bool, age: int, fate: str, steps: int, after: int
    ) -> Logout:
        """The OP sends a token, maybe late; the receiver may answer, or it or Redis may die at any point."""
        self.now += after
        if session.sid is None:
            how = "sub"
        logout = Logout(
            id=self.name("e"),
            user=session.user,
            client=client,
            sub=None if how == "sid" else session.user.sub(client),
            sid=None if how == "sub" else session.sid,
            user_wide=how in {"sub", "both, user-wide"},
            client_only=client_only,
            logout_at=self.now - age,
        )
        self.tokens.append(logout)
        if fate == "lost before":
            return logout
        self.oracle.attempt(logout, again=False)
        if fate == "answered":
            assert not self.run(self.world.publish(logout)).duplicate
            self.oracle.acknowledge(logout)
        elif fate == "lost after":
            self.run(self.world.publish(logout))
        elif self.run(self.world.crash_while_publishing(logout, steps)):
            self.oracle.acknowledge(logout)
        else:
            self.in_doubt.add(logout.id)
        return logout

    @rule(logout=logouts)
    def send_again(self, logout: Logout) -> None:
        """The OP retries, or a duplicate was on its way; the receiver answers."""
        self.oracle.attempt(logout, again=logout.id in self.in_doubt)
        self.in_doubt.discard(logout.id)
        answer = self.run(self.world.publish(logout))
        assert answer.duplicate or logout.id not in self.oracle.acknowledged
        self.oracle.acknowledge(logout)

    # Whatever else happens

    @rule(what=st.sampled_from(("Redis crashes", "the receiver restarts", "portal", "orders")))
    def something_breaks(self, what: str) -> None:
        """Redis comes back with what it had acknowledged; a new process knows nothing of what the last one knew."""
        if what == "Redis crashes":
            self.world.restart_redis()
        elif what == "the receiver restarts":
            self.run(self.world.restart_receiver())
        else:
            self.run(self.world.restart_app(what))

    @rule()
    def settle(self) -> None:
        """Everything published is heard; then everybody is asked about everyone."""
        events = [event.id for event in self.run(self.world.events())]
        assert len(events) == len(set(events)), "an event was published twice"
        assert self.oracle.acknowledged.keys() <= set(events), "an acknowledged event is lost"
        for login in (*self.sessions.values(), *self.unregistered.values()):
            self.check(login)

    def teardown(self) -> None:
        """The OP retries what it has no answer for; after that nothing is open."""
        try:
            for logout in self.tokens:
                self.send_again(logout)
            self.settle()
        finally:
            self.run(self.world.stop())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    # How

    def register(self, login: Login, iat: int | None = None) -> None:
        """Register and hold the answer to the oracle."""
        live = self.run(self.app(login).sign_in(login, iat))
        verdict = self.oracle.verdict(login)
        assert verdict != ("dead" if live else "live"), f"registering answered {live}, session is {verdict}: {login}"
        self.sessions[login.key] = login
        if live:
            self.oracle.registered[login.key] = login
        else:
            self.oracle.registered.pop(login.key, None)

    def check(self, login: Login) -> None:
        """One session: the guard, the registry and the app's stores against the oracle."""
        verdict = self.oracle.verdict(login)
        standing = self.run(self.app(login).standing(login, self.now))
        holds = self.app(login).holds(login)
        if verdict == "dead":
            assert standing == "ended", f"the guard lets in {login}"
            assert not holds, f"the app still holds {login}"
            assert not self.world.is_registered(login), f"still registered: {login}"
        elif verdict == "live":
            assert standing == "live", f"the guard refuses {login}"
            if login.key in self.oracle.registered:
                assert holds, f"the app has dropped {login}"
                assert self.world.is_registered(login), f"not registered any more: {login}"

    def login(self, session: OPSession, client: str) -> Login:
        """What an app learns of a session at the OP."""
        return Login(self.name("k"), session.user, client, session.sid, session.auth_time)

    def has_room(self, session: OPSession, client: str) -> bool:
        """Of one session at the OP the registry names the latest eight of an app's."""
        everybody = (*self.sessions.values(), *self.unregistered.values())
        names = [(login.user, login.client, login.sid) for login in everybody]
        return names.count((session.user, client, session.sid)) < 8

    def app(self, login: Login) -> Any:
        """The app of a session."""
        return self.world.apps[login.client]

    def name(self, kind: str) -> str:
        """A name not used before."""
        self.count += 1
        return f"{kind}{self.count}"

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """In this example's loop; while nothing runs, the world stands still."""
        return self.loop.run_until_complete(coroutine)


# A time limit that strikes within a story leaves it half done, and what is half done looks like a fault. Each step has
# a limit of its own.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("stories", [20, pytest.param(100, marks=pytest.mark.deep)])
def test_any_interleaving(durable_redis: EmbeddedRedis, stories: int) -> None:
    """After any story no session that an acknowledged logout covers is alive anywhere, and no other one is dead."""
    thorough = settings.get_current_profile_name() == "thorough"
    limits = settings(
        max_examples=300 if thorough else stories,
        stateful_step_count=60 if thorough else 30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(type("Machine", (Interleavings,), {"server": durable_redis}), settings=limits)
