"""`SignIn`: one app's session of one user as its ID token describes it, and the marks that may end it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from receiver.core.marks import Beginning, MarkNames, anew_name, digest, is_ended, mark_names, read_mark
from receiver.core.numeric_date import numeric_date

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


IN_FLIGHT_S = 120.0
"""Seconds after a logout in which what is stored may be the answer to a refresh that was under way."""


class Digests(NamedTuple):
    """Names of a sign-in in Redis keys.

    Attributes:
        user: Of the subject.
        session: Of the session; empty without a `sid`.
        account: Of the account; empty where it is the subject.
    """

    user: str
    session: str
    account: str


class Identity(NamedTuple):
    """What tells one sign-in from others."""

    iss: str
    client_ids: tuple[str, ...]
    sub: str
    sid: str | None
    auth_time: float | None
    began_at: float | None
    home_account_id: str | None
    cached: bool


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """One app's session of one user.

    Attributes:
        iss: Issuer of the ID token.
        client_ids: The app's client. Several where the ID token names several and does not say which is meant.
        sub: Subject of the ID token.
        sid: Session at the OP; None when the OP issues none.
        auth_time: NumericDate seconds on the OP's clock when the user authenticated; None when unknown.
        began_at: NumericDate seconds by which the session had begun, for a user's logout where `auth_time` is
            unknown: the `iat` of the ID token received at sign-in. None takes `auth_time`.
        home_account_id: MSAL's key of the account; None for apps without MSAL.
        keys: Names of the app's cache entries and sessions, given back in the eviction.
        cached: Whether it is read from a token cache, whose ID token may be a renewed one: `began_at` may be later.
    """

    iss: str
    client_ids: tuple[str, ...]
    sub: str
    sid: str | None = None
    auth_time: float | None = None
    began_at: float | None = None
    home_account_id: str | None = None
    keys: tuple[str, ...] = ()
    cached: bool = False

    @property
    def latest_beginning(self) -> float | None:
        """When the session had begun at the latest."""
        return self.began_at if self.auth_time is None else self.auth_time

    @property
    def given_at(self) -> float | None:
        """When the OP gave this session to the app; `auth_time` may be of long before, where the OP's own goes on."""
        return self.auth_time if self.began_at is None else self.began_at

    @cached_property
    def has_own_account(self) -> bool:
        """Whether the account is another name than the subject, so that a logout may mark the one without the other."""
        return bool(self.home_account_id) and self.home_account_id != self.sub

    @cached_property
    def identity(self) -> Identity:
        """What tells it from other sign-ins, but for the names of the app's own entries."""
        return Identity(
            self.iss, self.client_ids, self.sub, self.sid, self.auth_time, self.began_at, self.home_account_id,
            self.cached,
        )  # fmt: skip

    @cached_property
    def beginning(self) -> Beginning:
        """When it began, as far as is known."""
        return Beginning(self.auth_time, self.began_at)

    # Computed once, and only when Redis is asked: most requests are answered without it.
    @cached_property
    def digests(self) -> Digests:
        """Names in Redis keys."""
        return Digests(
            digest("sub", self.iss, self.sub),
            digest("sid", self.iss, self.sid) if self.sid else "",
            digest("account", self.iss, str(self.home_account_id)) if self.has_own_account else "",
        )

    @cached_property
    def marks(self) -> MarkNames:
        """Every mark that could end this session."""
        user, session, account = self.digests
        return mark_names(user=user, others=(account,), session=session, client_ids=self.client_ids)

    def anew_names(self, client_id: str) -> tuple[str, str]:
        """Names under which it is noted as newer than its marks: this very sign-in, then as caches show it."""
        # By the ID token's own dates first. Caches show no `iat` of the sign-in, only that of the last refresh, so the
        # second name goes without.
        name = partial(anew_name, self.iss, client_id=client_id, sub=self.sub, sid=self.sid, auth_time=self.auth_time)
        return name(issued_at=self.began_at), name()

    def is_ended_by(
        self, values: Sequence[bytes | str | None], *, skew_s: float, newer_than: float | None = None
    ) -> bool:
        """Whether one of the marks, or the epoch, ends this session.

        Args:
            values: Of each of `marks`, those of the user first, then the epoch; None where there is none. What is no
                date says nothing.
            skew_s: As for `marks.is_ended`.
            newer_than: Value of a mark that this sign-in is known to come after, with all marks below it.
        """
        of_user, marks = len(self.marks.of_user), sum(map(len, self.marks))
        if self.began_before(values[marks], newer_than=newer_than):
            return True
        # A mark of the whole user is judged by `iat` where there is no `auth_time`; one of a session ends it without
        # any date.
        return any(
            is_ended(mark.source, mark.at, self.beginning, of_user=index < of_user, skew_s=skew_s)
            for index, value in enumerate(values[:marks])
            if (mark := read_mark(value)) is not None and (newer_than is None or mark.value > newer_than)
        )

    def began_before(self, epoch: bytes | str | None, *, newer_than: float | None = None) -> bool:
        """Whether Redis has lost its marks since this session began; False for a session of unknown age.

        Otherwise users of an app that keeps no date could never sign in again. `newer_than` as for `is_ended_by`.
        """
        lost = read_mark(epoch)
        if lost is None or self.given_at is None or (newer_than is not None and lost.value <= newer_than):
            return False
        return self.given_at < lost.at

    def may_be_refreshed(self, user_at: float | None, *, cached_at: float | None) -> bool:
        """Whether cached tokens without an `auth_time` may be the answer to a refresh that was under way at a logout.

        Args:
            user_at: NumericDate seconds of the user's latest logout; None for never.
            cached_at: When the oldest of the tokens was cached, on the app's clock; None where that is not known.
        """
        if user_at is None or self.auth_time is not None:
            return False
        newest = cached_at if self.began_at is None else self.began_at
        return newest is None or (cached_at is not None and cached_at < user_at) or newest <= user_at + IN_FLIGHT_S


def from_claims(
    claims: Mapping[str, Any],
    *,
    client_id: str | None = None,
    home_account_id: str | None = None,
    keys: Iterable[str] = (),
) -> SignIn:
    """The sign-in an ID token describes.

    Args:
        claims: The validated ID token's claims, as MSAL returns them in `id_token_claims`; `iss`, `aud` and
            `sub` must be there, `sid` and `auth_time` should. Where `auth_time` is not, `iat` tells when the
            session had begun, so pass the claims received at sign-in, not those of a later refresh. A value that
            is no NumericDate (milliseconds, for instance) counts as absent.
        client_id: The app's own, where it is known: which of several in `aud` is meant. Without it a logout of any of
            them ends the session.
        home_account_id: MSAL's account key; None takes the `sub`, right for OPs that send no `client_info`.
        keys: Names of the app's own cache entries and sessions for this sign-in.

    Raises:
        ValueError: a claim is missing, has the wrong type or is no text.
    """
    # The app has validated the token. Only what a mark's name is made of has to be there; a date that is none counts
    # as absent, for a session of unknown age is ended rather than missed.
    iss, sub, sid = claims.get("iss"), claims.get("sub"), claims.get("sid")
    clients = clients_of(claims, client_id)
    if not (_is_text(iss) and _is_text(sub) and clients):
        raise ValueError("claims need iss, sub and aud; pass the ID token's claims")
    return SignIn(
        iss=iss,
        client_ids=clients,
        sub=sub,
        sid=sid if sid and _is_text(sid) else None,
        auth_time=numeric_date(claims.get("auth_time")),
        began_at=numeric_date(claims.get("iat")),
        home_account_id=home_account_id or sub,
        keys=tuple(keys),
    )


def _is_text(value: object) -> TypeGuard[str]:
    """Whether this is a text of whole characters: JSON can carry halves, of which no digest can be made."""
    return isinstance(value, str) and (value.isascii() or value.encode(errors="ignore").decode() == value)


def clients_of(claims: Mapping[str, Any], client_id: str | None) -> tuple[str, ...]:
    """Which clients an ID token is for (Core §2): `azp`, else the app where `aud` names it, else all of `aud`."""
    # Core §2: `azp` is "the party to which the ID Token was issued". `aud` may name others beside it, an API's for
    # instance, and their logouts are not this app's.
    azp = claims.get("azp")
    if isinstance(azp, str) and azp:
        return (azp,)
    # RFC 7519 §4.1.3: a string, or an array of them.
    aud = claims.get("aud")
    if isinstance(aud, str):
        return (aud,) if aud else ()
    named = (
        tuple(dict.fromkeys(item for item in aud if isinstance(item, str) and item)) if isinstance(aud, list) else ()
    )
    return (client_id,) if client_id in named else named
