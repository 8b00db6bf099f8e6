"""Spring Session on Redis as the real library writes it, apps unchanged, and the evictor."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.stacks.java.driver import Driver, Refused
from tests.support.waiting import eventually, stays

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stacks.java.world import World
    from tests.stacks.op import StackOP

pytestmark = [pytest.mark.java, pytest.mark.timeout(450)]

Kept = Literal["security", "blob", "claims", "json"]

PRINCIPAL = "org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME"

WAYS = pytest.mark.parametrize(
    ("indexed", "kept"),
    [
        (True, "security"), (True, "blob"), (True, "claims"), (False, "security"), (False, "blob"), (False, "claims"),
        (False, "json"),
    ],
    ids=[
        "indexed-security", "indexed-blob", "indexed-claims", "plain-security", "plain-blob", "plain-claims",
        "plain-json",
    ],
)  # fmt: skip
"""Spring Security's login; msal4j's blob as Microsoft's samples keep it; claims in a map of the app's own, in Java's
serialisation with and without the index, and in JSON."""

PAST_THE_FIRST_LOOK_S = 3.0
"""The evictor looks again 2 s after a logout."""


class Sessions:
    """One repository of the library's, as requests use it."""

    def __init__(self, driver: Driver, world: World, *, indexed: bool, kept: Kept) -> None:
        self.op: StackOP = world.ops["oidc"]
        self._driver = driver
        self._world = world
        self._kept = kept
        self._name = f"indexed-{indexed}-{kept == 'json'}"
        self._do("repository", port=world.port, indexed=indexed, json=kept == "json")

    def begin(self, user: str) -> str:
        """A session of this user's; its id."""
        form = {"grant_type": "authorization_code", "code": self.op.code(user, "portal"), "client_id": "portal"}
        answer = self._world.http.post(f"{self.op.authority}/token", data=form, timeout=10).json()
        token = answer["id_token"]
        if self._kept == "security":
            return str(self._do("begin", id_token=token))
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        if self._kept in {"claims", "json"}:
            return str(self._do("begin", attributes={"claims": claims, PRINCIPAL: claims["sub"]}))
        # What msal4j writes; see LAYOUT.md.
        entry = {"environment": self.op.host, "client_id": "portal", "credential_type": "IdToken", "secret": token}
        blob = {"IdToken": {f"null-{self.op.host}-idtoken-portal-realms-": entry}}
        return str(self._do("begin", attributes={"token_cache": json.dumps(blob, separators=(",", ":"))}))

    def is_there(self, session: str) -> bool:
        """Whether a request with this cookie has a session."""
        return bool(self._do("there", session=session))

    def open(self, session: str) -> str:
        """What a request holds from its beginning to its end."""
        return str(self._do("open", session=session))

    def save(self, held: str, **attributes: str) -> None:
        """Its end; `Refused` when the library notices that the session is gone."""
        self._do("set", open=held, attributes=attributes)
        self._do("save", open=held)

    def keys(self, session: str) -> set[str]:
        """The keys named after it."""
        return self._world.keys(f"spring:session:*{session}*")

    def indexed_for(self, user: str) -> bool:
        """Whether the principal index knows the user."""
        return bool(self._world.keys(f"spring:session:index:*:{self.op.sub(user, 'portal')}"))

    def _do(self, what: str, **members: Any) -> Any:
        return self._driver.do(f"sessions.{what}", repository=self._name, **members)


@pytest.fixture
def make(spring: Driver, world: World) -> Callable[..., Sessions]:
    """A repository."""

    def make(*, indexed: bool, kept: Kept) -> Sessions:
        return Sessions(spring, world, indexed=indexed, kept=kept)

    return make


@WAYS
def test_a_users_session_goes_and_anothers_stays(
    make: Callable[..., Sessions], world: World, names: tuple[str, str], *, indexed: bool, kept: Kept
) -> None:
    """With all keys named after it and its entry in the index of principals."""
    alice, bob = names
    sessions = make(indexed=indexed, kept=kept)
    of_alice, of_bob = sessions.begin(alice), sessions.begin(bob)
    assert sessions.is_there(of_alice)
    assert sessions.indexed_for(alice) == (indexed and kept != "blob")

    world.logout(sessions.op, alice)
    eventually(lambda: not sessions.is_there(of_alice))

    eventually(lambda: sessions.keys(of_alice) == set())
    eventually(lambda: not sessions.indexed_for(alice))
    assert sessions.is_there(of_bob)
    assert sessions.indexed_for(bob) == (indexed and kept != "blob")


@WAYS
def test_a_request_in_flight_does_not_bring_it_back(
    make: Callable[..., Sessions], world: World, names: tuple[str, str], *, indexed: bool, kept: Kept
) -> None:
    """The plain repository notices; what the indexed one writes is deleted again."""
    alice, _ = names
    sessions = make(indexed=indexed, kept=kept)
    session = sessions.begin(alice)
    held = sessions.open(session)
    world.logout(sessions.op, alice)
    eventually(lambda: not sessions.is_there(session))

    if indexed:
        sessions.save(held, seen="just now")
    else:
        with pytest.raises(Refused, match="Session was invalidated"):
            sessions.save(held, seen="just now")

    eventually(lambda: sessions.keys(session) == set())
    stays(lambda: not sessions.is_there(session), seconds=PAST_THE_FIRST_LOOK_S)


@pytest.mark.parametrize(
    ("indexed", "kept"), [(True, "security"), (True, "claims"), (False, "blob")], ids=["security", "claims", "plain"]
)
def test_a_new_sign_in_stays(
    make: Callable[..., Sessions], world: World, names: tuple[str, str], *, indexed: bool, kept: Kept
) -> None:
    """Also when the evictor looks again."""
    alice, _ = names
    sessions = make(indexed=indexed, kept=kept)
    session = sessions.begin(alice)
    world.logout(sessions.op, alice)
    eventually(lambda: not sessions.is_there(session))

    again = sessions.begin(alice)

    stays(lambda: sessions.is_there(again), seconds=PAST_THE_FIRST_LOOK_S)


@pytest.mark.parametrize(("indexed", "kept"), [(True, "security"), (False, "blob")], ids=["security", "plain"])
def test_a_session_with_another_sid_stays(
    make: Callable[..., Sessions], world: World, names: tuple[str, str], *, indexed: bool, kept: Kept
) -> None:
    """A logout that names a `sid` ends that one; the user's other devices stay signed in."""
    alice, _ = names
    sessions = make(indexed=indexed, kept=kept)
    laptop = sessions.begin(alice)
    sessions.op.sign_in(alice, auth_time=sessions.op.session(alice).auth_time)
    phone = sessions.begin(alice)

    world.logout(sessions.op, alice)
    eventually(lambda: not sessions.is_there(phone))

    stays(lambda: sessions.is_there(laptop), seconds=PAST_THE_FIRST_LOOK_S)
