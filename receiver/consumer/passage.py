"""One request's way past the check, for all frameworks.

A framework's integration makes a `Passage` for each request, looks with it before the view and after it, and does what
it says: answer the request itself, drop the session, change what the view answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from receiver.consumer import anew, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from receiver.consumer.checkpoint import Checkpoint, Visit
    from receiver.consumer.knowledge import Knowledge, Status
    from receiver.consumer.refusal import Header, Refusal
    from receiver.consumer.session_layouts import SessionLike
    from receiver.core.sign_in import SignIn

OK = 200
"""The status of a page."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Status codes that send a browser on."""


class SignInCheck(Protocol):
    """What is asked about a sign-in, as `ThreadGuard` answers it."""

    def status(self, sign_in: SignIn, /) -> Status: ...  # noqa: D102
    def sign_in(self, sign_in: SignIn, /, *, anew: bool) -> Status: ...  # noqa: D102


class AsyncSignInCheck(Protocol):
    """The same, as `Guard` answers it."""

    async def status(self, sign_in: SignIn, /) -> Status: ...  # noqa: D102
    async def sign_in(self, sign_in: SignIn, /, *, anew: bool) -> Status: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """What is to be changed in a view's answer.

    Attributes:
        instead: Sent in its place.
        location: In place of its `Location`.
        set_cookie: A further `Set-Cookie`.
    """

    instead: Refusal | None = None
    location: str | None = None
    set_cookie: str | None = None


class Facts(NamedTuple):
    """A request, as far as a refusal depends on it.

    Attributes:
        method: The request's.
        path: The request's, as the browser has it: with the prefix the app is mounted at.
        query: What follows the question mark.
        header: Looks up a request header.
    """

    method: str
    path: str
    query: str
    header: Header


class Passage:
    """One request.

    Args:
        checkpoint: The app's.
        knowledge: What this process's guard can tell without the network.
        facts: Gives the request's; called where they are needed, which is rare.

    Attributes:
        visit: The sign-in of this request, once it was looked at; None where there is none.
        status: Of that sign-in, when it was looked at last.
    """

    visit: Visit | None = None
    status: Status = "live"
    _after = _ended = _new = _stopped = False
    _refused: bool | None = None
    _session: SessionLike | None = None
    # The sign-in that was found live, where only its session or a logout can say otherwise.
    _live: Visit | None = None

    def __init__(self, checkpoint: Checkpoint, knowledge: Knowledge, facts: Callable[[], Facts]) -> None:
        self._checkpoint = checkpoint
        self._knowledge = knowledge
        self._facts = facts

    def goes_in(self, session: SessionLike, keys: tuple[str, ...]) -> bool:
        """Whether the request may go on at once, as nearly always; else `look`.

        Its session was here before, is as it was, and is known to be live.

        Args:
            session: The request's.
            keys: The session's own names.
        """
        visit = self._checkpoint.seen(session, keys)
        if visit is None or not self._knowledge.is_live(visit):
            return False
        self._session, self._after, self.visit, self._live = session, True, visit, visit
        return True

    def goes_out(self, session: SessionLike | None, *, changed: bool, status: int) -> bool:
        """Whether the view's answer goes out as it is, as nearly always; else `look` again.

        The view left the session as it was, no logout came while it ran, and it sends the browser nowhere.

        Args:
            session: The request's now; None where the app keeps none.
            changed: Whether the view may have changed it; frameworks note that, to know what they have to save.
            status: Of the answer.
        """
        live = self._live
        if live is None or changed or session is not self._session or status in REDIRECTS:
            return False
        return self._knowledge.is_live(live)

    def look(
        self, guard: SignInCheck, session: SessionLike | None, claims: Mapping[str, Any] | None, keys: Iterable[str]
    ) -> Status:
        """Register the sign-in if it is new, and tell whether it is signed out; then the caller drops the session.

        Args:
            guard: This process's.
            session: The request's; None where the app keeps none.
            claims: The ID token's, where there are any.
            keys: The session's own names.
        """
        known, visit = self.look_here(session, claims, keys), self.visit
        if known != "unknown" or visit is None:
            return known
        if visit.registered:
            return self._told(session, visit, guard.status(visit.sign_in))
        return self._told(session, visit, guard.sign_in(visit.sign_in, anew=self._is_anew(session, claims)))

    def look_here(self, session: SessionLike | None, claims: Mapping[str, Any] | None, keys: Iterable[str]) -> Status:
        """As `look`, without the network; what is `unknown` then is for `ask`."""
        self._session = session
        if claims is None:
            if session is not None:
                self._checkpoint.no_sign_in(session)
            self._after, self.visit, self.status = True, None, "live"
            return "live"
        visit = self._checkpoint.recognise(session, claims, keys)
        # As nearly always; else it is registered first.
        known: Status = self._knowledge.known(visit.sign_in) if visit.registered else "unknown"
        self._new = self._new or (self._after and not visit.registered)
        self._ended = self._ended or known == "ended"
        self._after, self.visit, self.status = True, visit, known
        self._live = visit if known == "live" and self._checkpoint.is_told_by_session else None
        return known

    async def ask(
        self, guard: AsyncSignInCheck, session: SessionLike | None, claims: Mapping[str, Any] | None
    ) -> Status:
        """What `look_here` could not tell; the arguments are the same."""
        visit = self.visit
        if visit is None:
            return self.status
        if visit.registered:
            return self._told(session, visit, await guard.status(visit.sign_in))
        return self._told(session, visit, await guard.sign_in(visit.sign_in, anew=self._is_anew(session, claims)))

    def refusal(self) -> Refusal | None:
        """The answer in place of the view's; None when the request may go on."""
        if self.status == "live":
            return None
        method, path, _, header = self._facts()
        refused = self._checkpoint.refusal(self.status, method=method, path=path, header=header, again=self.was_refused)
        self._stopped = refused is not None
        return refused

    def amendment(self, session: SessionLike | None, *, location: str | None) -> Amendment | None:
        """What is to be changed in the answer, after the second look; None for nothing.

        Args:
            session: The request's; None where the app keeps none.
            location: Of the view's answer, where its status is one of `REDIRECTS`.
        """
        if self._stopped or (location is None and not self._ended and not self._new):
            return None
        ended = self._ended and (self.visit is None or self.status == "ended")
        if ended and self._new and self.was_refused:
            # Signed in a second time as before: on it would go round.
            method, _, _, header = self._facts()
            if refusal.is_navigation(method, header):
                return Amendment(
                    instead=self._checkpoint.refusal("ended", method=method, path="", header=header, again=True)
                )
        changed = None if location is None else self._onward(session, location, needed=ended or self.was_refused)
        if ended:
            return Amendment(location=changed, set_cookie=anew.REFUSED)
        if self._new and self.was_refused:
            return Amendment(location=changed, set_cookie=anew.SIGNED_IN)
        return None if changed is None else Amendment(location=changed)

    def may_change_page(self, status: int, media_type: str | None) -> bool:
        """Whether the view's answer may be a sign-in page, for a browser that was refused before."""
        return self.visit is None and self.was_refused and status == OK and media_type == "text/html"

    def page(self, session: SessionLike | None, body: bytes, *, charset: str) -> bytes | None:
        """The same page, with the authorization requests in it changed as redirects are; None where it stays as it is.

        Args:
            session: The request's; None where the app keeps none.
            body: Of the answer. What is no text of this charset stays: it may be compressed, or named wrongly.
            charset: As the answer names it.
        """
        try:
            text = body.decode(charset)
        except (ValueError, LookupError):
            return None
        if len(text) > anew.MAX_PAGE_CHARS:
            return None
        changed, asked = anew.page_with_login(text)
        for address in asked if session is not None else ():
            anew.note_address(session, address)  # type: ignore[arg-type]  # mypy loses it in the loop
        return None if changed == text else changed.encode(charset)

    @property
    def was_refused(self) -> bool:
        """Whether the browser says that it was refused before, and has not signed in since."""
        if self._refused is None:
            self._refused = anew.was_refused(self._facts().header("cookie"))
        return self._refused

    def _onward(self, session: SessionLike | None, location: str, *, needed: bool) -> str | None:
        changed = anew.with_login(location) if needed else location
        if session is not None and anew.asks_anew(changed):
            anew.note_address(session, changed)
        return None if changed == location else changed

    def _is_anew(self, session: SessionLike | None, claims: Mapping[str, Any] | None) -> bool:
        return session is not None and claims is not None and anew.is_answered(session, claims, self._facts().query)

    def _told(self, session: SessionLike | None, visit: Visit, status: Status) -> Status:
        self.status = status
        self._ended = self._ended or status == "ended"
        if status == "live" and not visit.registered:
            self._checkpoint.registered(session, visit)
            if session is not None:
                anew.forget(session)
        return status
