"""What every framework integration does with a request, whatever the framework.

Before the view: find the signed-in user in the session, register the session if it is new, ask whether it
is signed out. After the view: the same, because the view may have signed the user in, and because the
logout may have come while it ran.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from receiver.consumer.exempt import Exempt
from receiver.consumer.session_layouts import find_account, find_claims
from receiver.core.marks import digest
from receiver.core.numeric_date import numeric_date
from receiver.core.sign_in import from_claims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from receiver.consumer.guard import Guard, ThreadGuard
    from receiver.consumer.knowledge import Status
    from receiver.consumer.options import Options
    from receiver.consumer.session_layouts import SessionLike
    from receiver.core.sign_in import SignIn

log = logging.getLogger("receiver.consumer")

MARKER = "_logout_receiver"
"""Session key that says which sign-in was registered; about 60 bytes."""

RETRY_AFTER_S = 5
"""Seconds told to a client that was refused because nobody could tell whether it is signed out."""

ANONYMOUS_KEYS = frozenset(
    {MARKER, "_auth_flow", "_csrftoken", "_flashes", "_permanent", "auth_flow", "csrf_token", "flow", "next", "state"}
)
"""Session keys of visitors who have not signed in, or not yet."""

MAX_NAMED = 5
"""Session keys named in a log line."""

MAX_SEEN = 100_000
"""Sign-ins remembered as registered where there is no session to remember it in; the oldest give way and
are registered again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a request that is stopped."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Marker(NamedTuple):
    who: str
    iat: float | None
    account: str | None
    where: str


@dataclass(frozen=True, slots=True)
class Visit:
    """One request's sign-in.

    Attributes:
        sign_in: What the guard is asked with; its beginning is that of the sign-in, also after the ID token was
            renewed.
        registered: Whether this sign-in was registered before, under these names.
    """

    sign_in: SignIn
    registered: bool
    _claims: dict[str, Any]
    _marker: _Marker


class Checkpoint:
    """The rules, without a framework; safe to use from many threads."""

    def __init__(self, options: Options) -> None:
        self.claims = options.get("claims")
        self._account = options.get("account")
        self._client_id = options.get("client_id")
        self._login_url = options.get("login_url")
        self._exempt = Exempt(options.get("exempt", ()))
        self._claims_expected = not callable(self.claims)
        self._refuse_when_unknown = options.get("refuse_when_unknown", False)
        self._seen: OrderedDict[str, _Marker] = OrderedDict()
        self._lock = threading.Lock()

    def is_exempt(self, path: str) -> bool:
        """Whether requests for this path are not checked at all (`exempt.Exempt`)."""
        return path in self._exempt

    def claims_in_session(self, session: SessionLike) -> Mapping[str, Any] | None:
        """The claims, where no function was given to find them."""
        if isinstance(self.claims, str):
            value: Mapping[str, Any] | None = session.get(self.claims)
            return value
        return find_claims(session)

    def recognise(
        self,
        session: SessionLike | None,
        claims: Mapping[str, Any],
        keys: Iterable[str] = (),
        *,
        earlier: Visit | None = None,
    ) -> Visit:
        """Recognise the sign-in.

        Args:
            session: Where it is remembered; None remembers it in this process.
            claims: The ID token's.
            keys: The session's own names.
            earlier: What the same request was recognised as before; the claims are read once while they stay the same.

        Raises:
            ValueError: the claims have no `iss`, `sub` or `aud`.
        """
        self._claims_expected = False
        names = tuple(keys)
        before = None if session is None else _marker(session.get(MARKER))
        if earlier is not None and earlier.sign_in.keys == names and earlier._claims == claims:  # noqa: SLF001
            if session is None:
                before = self._seen.get(earlier._marker.who)  # noqa: SLF001
            if before == earlier._marker:  # noqa: SLF001
                return earlier if earlier.registered else replace(earlier, registered=True)
        sign_in = from_claims(claims, client_id=self._client_id)
        who = _who(sign_in)
        where = digest("keys", "", "\n".join(names)) if names else ""
        if session is None:
            before = self._seen.get(who)
        same = before is not None and before.who == who
        # Every renewed ID token has a new `iat`; only that of the sign-in says when the session had begun.
        iat = numeric_date(before.iat) if before is not None and same else sign_in.began_at
        account = before.account if before is not None and same else self._find_account(session, claims)
        told = (iat, account or sign_in.sub, names)
        if told != (sign_in.began_at, sign_in.home_account_id, sign_in.keys):
            sign_in = replace(sign_in, began_at=iat, home_account_id=account or sign_in.sub, keys=names)
        registered = before is not None and same and before.where == where
        return Visit(sign_in, registered, dict(claims), _Marker(who, iat, account, where))

    def settle(self, session: SessionLike | None, visit: Visit) -> None:
        """Remember that the sign-in was registered."""
        if session is not None:
            session[MARKER] = list(visit._marker)  # noqa: SLF001
            return
        with self._lock:
            self._seen[visit._marker.who] = visit._marker  # noqa: SLF001
            if len(self._seen) > MAX_SEEN:
                self._seen.popitem(last=False)

    def no_sign_in(self, session: SessionLike) -> None:
        """There are no claims in this session: the next sign-in in it is a new one, also of the same user."""
        if MARKER in session:
            del session[MARKER]
        if not self._claims_expected:
            return
        names = sorted(str(name)[:40] for name in session.keys() if name not in ANONYMOUS_KEYS)  # noqa: SIM118
        if names:
            self._claims_expected = False
            log.warning(
                "a session holds %s and no ID token claims were found in it: if its user has signed in, a logout does "
                "not stop them; say where the claims are with the option `claims` (docs/frameworks.md)",
                ", ".join(map(repr, names[:MAX_NAMED])),
            )

    def status(self, guard: ThreadGuard, session: SessionLike | None, visit: Visit) -> Status:
        """Register the sign-in if it is new, and tell whether it is signed out."""
        if visit.registered:
            return guard.status(visit.sign_in)
        status = guard.sign_in(visit.sign_in)
        if status == "live":
            self.settle(session, visit)
        return status

    async def status_async(self, guard: Guard, session: SessionLike | None, visit: Visit) -> Status:
        """As `status`."""
        if visit.registered:
            return await guard.status(visit.sign_in)
        status = await guard.sign_in(visit.sign_in)
        if status == "live":
            self.settle(session, visit)
        return status

    def refusal(self, status: Status, *, method: str, path: str, header: Callable[[str], str | None]) -> Refusal | None:
        """The answer to a request that may not go on; None when it may.

        Args:
            status: The session's; one that has ended is dropped by the caller first.
            method: The request's.
            path: The request's.
            header: Looks up a request header.
        """
        if status == "unknown" and self._refuse_when_unknown:
            return _refusal(503, "temporarily_unavailable", header, {"Retry-After": str(RETRY_AFTER_S)})
        if status != "ended" or path == self._login_path:
            return None
        if self._login_url is not None and method in {"GET", "HEAD"} and _is_navigation(header):
            return Refusal(302, {"Location": self._login_url, "Cache-Control": "no-store"}, b"")
        return _refusal(401, "signed_out", header, {})

    @property
    def _login_path(self) -> str | None:
        return None if self._login_url is None else self._login_url.partition("?")[0]

    def _find_account(self, session: SessionLike | None, claims: Mapping[str, Any]) -> str | None:
        if callable(self._account):
            return self._account(claims)
        if session is None:
            return None
        if isinstance(self._account, str):
            account: str | None = session.get(self._account)
            return account
        return find_account(session, claims)


_TEXTS = {
    "signed_out": "You have been signed out. Sign in again.\n",
    "temporarily_unavailable": "Your session cannot be verified at the moment. Try again in a few seconds.\n",
}


def _refusal(status: int, error: str, header: Callable[[str], str | None], headers: dict[str, str]) -> Refusal:
    wants_json = "json" in (header("accept") or "")
    body = json.dumps({"error": error}) if wants_json else _TEXTS[error]
    media_type = "application/json" if wants_json else "text/plain; charset=utf-8"
    return Refusal(status, {"Content-Type": media_type, "Cache-Control": "no-store", **headers}, body.encode())


def _is_navigation(header: Callable[[str], str | None]) -> bool:
    mode = header("sec-fetch-mode")
    return mode == "navigate" if mode else "text/html" in (header("accept") or "")


def _who(sign_in: SignIn) -> str:
    # Kept in sessions: another form would register every sign-in anew, dated by a renewed ID token.
    identity = (sign_in.client_ids[0], sign_in.sub, sign_in.sid or "", str(sign_in.auth_time or ""))
    return digest("session", sign_in.iss, "\n".join(identity))


def _marker(value: object) -> _Marker | None:
    if not isinstance(value, list | tuple) or len(value) != len(_Marker._fields):
        return None
    return _Marker(*value)
