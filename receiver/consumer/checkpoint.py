"""What every framework integration does with a request.

Before the view: find the signed-in user in the session, register the session if it is new, ask whether it
is signed out. After the view: the same, because the view may have signed the user in, and because the
logout may have come while it ran.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from receiver.consumer import refusal
from receiver.consumer.anew import ASKED
from receiver.consumer.exempt import Exempt
from receiver.consumer.knowledge import NOT_ASKED, Asked, Status
from receiver.consumer.session_layouts import CLAIMS_KEYS, SessionLike, find_account, find_claims
from receiver.core.marks import digest
from receiver.core.numeric_date import numeric_date
from receiver.core.sign_in import SignIn, from_claims

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from receiver.consumer.options import Options
    from receiver.consumer.refusal import Header, Refusal

log = logging.getLogger("receiver.consumer")

MARKER = "_logout_receiver"
"""Session key that says which sign-in was registered; about 60 bytes."""

ANONYMOUS_KEYS = frozenset(
    {
        MARKER,
        ASKED,
        "_auth_flow",
        "_csrftoken",
        "_flashes",
        "_permanent",
        "auth_flow",
        "csrf_token",
        "flow",
        "next",
        "state",
    }
)
"""Session keys of visitors who have not signed in, or not yet."""

MAX_NAMED = 5
"""Session keys named in a log line."""

MAX_SEEN = 100_000
"""Sign-ins remembered as registered where there is no session to remember it in; the oldest give way and
are registered again."""


class _Marker(NamedTuple):
    who: str
    iat: float | None
    account: str | None
    where: str


MAX_RECOGNISED = 10_000
"""Sign-ins kept as they were read while their claims stay the same, about 1 KB each; the oldest give way."""

_NAMES = ("iss", "sub", "sid", "aud", "azp", "auth_time", "iat")
_Says = tuple[Any, ...]
"""What claims say, as far as it matters to us."""


@dataclass(slots=True)
class Visit:
    """One request's sign-in.

    Attributes:
        sign_in: What the guard is asked with; its beginning is that of the sign-in, also after the ID token was
            renewed.
        registered: Whether this sign-in was registered before, under these names.
        asked: See `knowledge.Visitor`.
    """

    sign_in: SignIn
    registered: bool
    _marker: _Marker
    asked: Asked = NOT_ASKED


class _Recognised(NamedTuple):
    """A sign-in that was recognised before: what its session kept, its claims and its names, so that it is the same.

    `place` is the session key of the claims; None where they are inside another value, or not in the session. `before`
    are the keys that are looked at first.
    """

    kept: object
    says: _Says
    names: tuple[str, ...]
    visit: Visit
    before: tuple[str, ...]
    place: str | None


class Checkpoint:
    """The rules, without a framework; safe to use from many threads.

    Attributes:
        claims: The option.
        is_told_by_session: Whether the claims are in the session, so that they change only with it.
        is_exempt: Whether requests for a path are not checked at all (`exempt.Exempt`).
    """

    def __init__(self, options: Options) -> None:
        self.claims = options.get("claims")
        self._account = options.get("account")
        self._client_id = options.get("client_id")
        self._login_url = options.get("login_url")
        self.is_exempt = Exempt(options.get("exempt", ())).contains
        self.is_told_by_session = not callable(self.claims)
        self._claims_expected = self.is_told_by_session
        self._refuse_when_unknown = options.get("refuse_when_unknown", False)
        self._seen: OrderedDict[str, _Marker] = OrderedDict()
        self._recognised: OrderedDict[str, _Recognised] = OrderedDict()
        self._lock = threading.Lock()

    def claims_in_session(self, session: SessionLike) -> Mapping[str, Any] | None:
        """The claims, where no function was given to find them."""
        if isinstance(self.claims, str):
            value: Mapping[str, Any] | None = session.get(self.claims)
            return value
        return find_claims(session)

    def seen(self, session: SessionLike, names: tuple[str, ...]) -> Visit | None:
        """The sign-in of a session that was here before and is as it was; None where it has to be recognised."""
        # By index: what is inside a session's `get` is run in Python by some frameworks.
        try:
            kept = session[MARKER]
            same, says, own, visit, before, place = self._recognised[kept[0]]
            if place is None or kept != same or names != own:
                return None
            for other in before:
                if other in session:
                    return None
            claims = session[place]
        except (LookupError, TypeError):
            # No marker, or none of ours; or no claims where they were.
            return None
        return visit if type(claims) is dict and tuple(map(claims.get, _NAMES)) == says else None

    def recognise(self, session: SessionLike | None, claims: Mapping[str, Any], keys: Iterable[str] = ()) -> Visit:
        """Recognise the sign-in.

        Args:
            session: Where it is remembered; None remembers it in this process.
            claims: The ID token's.
            keys: The session's own names.

        Raises:
            ValueError: the claims have no `iss`, `sub` or `aud`.
        """
        self._claims_expected = False
        names, says = tuple(keys), tuple(map(claims.get, _NAMES))
        kept = None if session is None else session.get(MARKER)
        if isinstance(kept, list) and kept:
            # As nearly always: the session was here a moment ago.
            known = self._recognised.get(str(kept[0]))
            if known is not None and known.kept == kept and known.says == says and known.names == names:
                return known.visit
        marked = _marker(kept)
        sign_in = from_claims(claims, client_id=self._client_id)
        who = _who(sign_in)
        where = digest("keys", "", "\n".join(names)) if names else ""
        if session is None:
            marked = self._seen.get(who)
        same = marked is not None and marked.who == who
        # Every renewed ID token has a new `iat`; only that of the sign-in says when the session had begun.
        iat = numeric_date(marked.iat) if marked is not None and same else sign_in.began_at
        account = marked.account if marked is not None and same else self._find_account(session, claims)
        told = (iat, account or sign_in.sub, names)
        if told != (sign_in.began_at, sign_in.home_account_id, sign_in.keys):
            sign_in = replace(sign_in, began_at=iat, home_account_id=account or sign_in.sub, keys=names)
        marker = _Marker(who, iat, account, where)
        visit = Visit(sign_in, marker == marked, marker)
        if visit.registered and session is not None:
            before, place = self._place_of(session, claims)
            with self._lock:
                self._recognised[who] = _Recognised(kept, says, names, visit, before, place)
                if len(self._recognised) > MAX_RECOGNISED:
                    self._recognised.popitem(last=False)
        return visit

    def registered(self, session: SessionLike | None, visit: Visit) -> None:
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

    def refusal(self, status: Status, *, method: str, path: str, header: Header, again: bool = False) -> Refusal | None:
        """The answer to a request that may not go on; None when it may.

        Args:
            status: The session's; one that has ended is dropped by the caller first.
            method: The request's.
            path: The request's.
            header: Looks up a request header.
            again: Whether the browser was refused before, and has not signed in since.
        """
        if status == "unknown" and self._refuse_when_unknown:
            return refusal.unavailable(header)
        if status != "ended" or path == self._login_path:
            return None
        navigates = refusal.is_navigation(method, header)
        return refusal.signed_out(login_url=self._login_url, navigates=navigates, again=again, header=header)

    @property
    def _login_path(self) -> str | None:
        return None if self._login_url is None else self._login_url.partition("?")[0]

    def _place_of(self, session: SessionLike, claims: Mapping[str, Any]) -> tuple[tuple[str, ...], str | None]:
        places: tuple[str, ...] = CLAIMS_KEYS
        if self.claims is not None:
            places = (self.claims,) if isinstance(self.claims, str) else ()
        for index, place in enumerate(places):
            if session.get(place) is claims:
                return places[:index], place
        return (), None

    def _find_account(self, session: SessionLike | None, claims: Mapping[str, Any]) -> str | None:
        if callable(self._account):
            return self._account(claims)
        if session is None:
            return None
        if isinstance(self._account, str):
            account: str | None = session.get(self._account)
            return account
        return find_account(session, claims)


def _who(sign_in: SignIn) -> str:
    # Kept in sessions: another form would register every sign-in anew, dated by a renewed ID token.
    # The order of several clients says nothing.
    identity = (min(sign_in.client_ids), sign_in.sub, sign_in.sid or "", str(sign_in.auth_time or ""))
    return digest("session", sign_in.iss, "\n".join(identity))


def _marker(value: object) -> _Marker | None:
    """What was remembered in a session; None where that is nothing of ours."""
    if not isinstance(value, list | tuple) or len(value) != len(_Marker._fields):
        return None
    marker = _Marker(*value)
    names = (marker.who, marker.account or "", marker.where)
    return marker if all(isinstance(name, str) for name in names) and not isinstance(marker.iat, list | dict) else None
