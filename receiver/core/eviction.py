"""`Eviction`: the one fact this service publishes, and its wire form.

Every way in (back-channel, front-channel, SSF, revocation, admin) ends in an `Eviction`; everything below
it is shared. `input` is one of these kinds for good, because earlier readers drop an event of another; which
protocol it was exactly stands in `origin`. The wire form is CloudEvents 1.0 structured JSON, described for users in
docs/events.md.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring as encode_text
from typing import TYPE_CHECKING, Literal, Self

from receiver.core import event_members as members
from receiver.core import trace_context
from receiver.core.marks import Source
from receiver.core.numeric_date import rfc3339
from receiver.errors import BadEventError, UnknownEventTypeError

if TYPE_CHECKING:
    from receiver.core.tenants import AppliesTo, Tenant

Scope = Literal["session", "user"]
Input = Literal["backchannel", "frontchannel", "ssf", "revocation", "admin"]

EVENT_TYPE = "logout-receiver.eviction.v1"
"""CloudEvents `type`. A change that an existing consumer cannot read gets a new suffix."""

MAX_ID_CHARS = 512
"""Characters of the longest name: a `sub`, `sid`, `jti`, account or client that comes in a token, a call or a cache.
Each may become part of an event, which every app reads. Core §2 caps `sub` at 255 ASCII characters; some OPs are more
generous. What is longer is refused in tokens and calls, and not taken from caches: larger lets events grow with it."""

KNOWN_IDS = 512
"""Ids kept: each is asked for when its token is accepted, and again when it is published. More only cost memory."""

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@lru_cache(maxsize=KNOWN_IDS)
def eviction_id(issuer: str, jti: str) -> str:
    """The id of the first event of an (iss, jti): a redelivery is recognised by it, also by earlier releases.

    Returns:
        32 lower-case hexadecimal digits.
    """
    # BCL §2.4 has the `jti` unique for each token. RFC 7519 §4.1.7 wants no two issuers to collide; they do not know
    # each other, so the issuer is part of the name.
    return hashlib.sha256(f"{issuer}\n{jti}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What one app registered for one of the sessions that ended.

    Attributes:
        client_id: The app.
        keys: Names of its cache entries and sessions, as it registered them.
    """

    client_id: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """Who must be dropped, from when, and where the order came from.

    Attributes:
        id: The same for every repeat of one logout; handlers are idempotent by it.
        tenant: Configured name of the tenant.
        iss: The issuer, byte for byte as in the token.
        client_id: The RP the token was addressed to; None when the order names no RP.
        sub: Subject at that issuer; None when the order names a session only.
        sid: Session at that issuer; None when the order names a user only.
        jti: The token's id; None for orders that carry none.
        scope: `session` means the session `sid`; `user` means every session of `sub` that authenticated
            at or before `logout_at`.
        applies_to: `tenant` ends the sessions of every client, `client` those of `client_id` only.
        logout_at: NumericDate seconds on the clock that `source` says; a session that authenticated later lives.
        received_at: NumericDate seconds on our clock when the order came in.
        input: The way in, by kind; a kind that a newer publisher has given is kept as it is.
        origin: The exact way in where the kind does not say it, for instance a protocol's name; None when it does.
        reason: Free text from the OP or operator; None when not given.
        account: The `home_account_id` of an order that names an account in place of a user: `sub` is then the same
            text, which no sign-in has. None for every other order.
        reauthenticate: For orders: whether the user has to authenticate at the OP again. False ends only the sign-ins
            that are there, and any later one lives.
        not_before: NumericDate seconds, on our clock, before which it is not to be published; 0 for at once. It is not
            part of the wire form.
        traceparent: The trace it is part of (W3C Trace Context), as CloudEvents' extension of that name; or None.
        accounts: MSAL `home_account_id`s known for this user; may be empty.
        sessions: What apps registered for the sessions that ended; may be empty.
        beyond: Accounts and subjects of the user beyond what one logout looks up: what is registered under these is
            not among `sessions`.
    """

    id: str
    tenant: str
    iss: str
    client_id: str | None = None
    sub: str | None = None
    sid: str | None = None
    jti: str | None = None
    scope: Scope
    applies_to: AppliesTo = "tenant"
    logout_at: int
    received_at: float
    input: str = "backchannel"
    origin: str | None = None
    reason: str | None = None
    account: str | None = None
    reauthenticate: bool = True
    not_before: float = 0.0
    traceparent: str | None = None
    accounts: tuple[str, ...] = ()
    sessions: tuple[SessionKeys, ...] = ()
    beyond: int = 0

    @classmethod
    def for_subject(
        cls,
        tenant: Tenant,
        *,
        id: str,  # noqa: A002  # the member's name
        iss: str,
        sub: str | None,
        sid: str | None,
        logout_at: int,
        received_at: float,
        input: Input,  # noqa: A002  # the member's name
        applies_to: AppliesTo,
        client_id: str | None = None,
        jti: str | None = None,
        origin: str | None = None,
        reason: str | None = None,
        reauthenticate: bool = True,
        not_before: float = 0.0,
    ) -> Self:
        """What an order about a subject or a session means at this tenant; every input makes its evictions here.

        `sid` alone is that session, `sub` alone every session of the user (BCL §2.7); for both the tenant decides.
        Where MSAL's account key is the `sub`, the account is known from it.

        The arguments after the tenant are the attributes of those names; at least one of `sub` and `sid` is given.
        """
        return cls(
            id=id,
            tenant=tenant.name,
            iss=iss,
            client_id=client_id,
            sub=sub,
            sid=sid,
            jti=jti,
            scope="user" if sid is None or (sub and tenant.both_claims == "user") else "session",
            applies_to=applies_to,
            logout_at=logout_at,
            received_at=received_at,
            input=input,
            origin=origin,
            reason=reason,
            reauthenticate=reauthenticate,
            not_before=not_before,
            accounts=(sub,) if sub and tenant.account_from_sub else (),
        )

    @property
    def source(self) -> Source:
        """Which clock `logout_at` is of: the receiver dates an operator's orders, the OP all others."""
        if self.input != "admin":
            return Source.OP
        return Source.ORDER if self.reauthenticate else Source.ORDER_ON_SESSIONS

    def concerns(self, client_id: str) -> bool:
        """Whether this logout counts for a client's sessions: for every client of the tenant, or for this one."""
        # BCL §2.7 ends the sessions of the RP that got the token; tenants choose whether those of the other clients end
        # with it.
        return self.applies_to == "tenant" or self.client_id is None or self.client_id == client_id

    def to_json(self) -> str:
        """The wire form, compact, with the member order of docs/events.md."""
        accounts = ",".join(map(_encode, self.accounts))
        sessions = ",".join(_encode({"client_id": s.client_id, "keys": s.keys}) for s in self.sessions)
        beyond = f',"beyond":{self.beyond}' if self.beyond else ""
        return f'{self.to_json_head()}{accounts}],"sessions":[{sessions}]{beyond}}}}}'

    def to_json_head(self) -> str:
        """The wire form up to and including `"accounts":[`; the publish script adds what it finds registered."""
        # Put together here: an encoder that looks at every value's type costs three times as much for each logout.
        # CloudEvents 1.0 §3.1: `id`, `source`, `specversion` and `type` are REQUIRED, and `source` with `id` names the
        # event.
        iss = encode_text(self.iss)
        traceparent = "" if self.traceparent is None else f',"traceparent":"{self.traceparent}"'
        origin = "" if self.origin is None else f',"origin":{encode_text(self.origin)}'
        account = "" if self.account is None else f',"account":{encode_text(self.account)}'
        reauthenticate = "" if self.reauthenticate else ',"reauthenticate":false'
        return (
            f'{{"specversion":"1.0","type":"{EVENT_TYPE}","id":{encode_text(self.id)},"source":{iss},'
            f'"time":"{rfc3339(self.received_at)}","datacontenttype":"application/json"{traceparent},"data":{{'
            f'"tenant":{encode_text(self.tenant)},"iss":{iss},"client_id":{_or_null(self.client_id)},'
            f'"sub":{_or_null(self.sub)},"sid":{_or_null(self.sid)},"jti":{_or_null(self.jti)},'
            f'"scope":"{self.scope}","applies_to":"{self.applies_to}","logout_at":{self.logout_at},'
            f'"input":{encode_text(self.input)},"reason":{_or_null(self.reason)}{origin}{account}'
            f'{reauthenticate},"accounts":['
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Eviction:
        """Read the wire form, with what a newer publisher may have added.

        Unknown members are ignored, an unknown `input` is kept, an unknown `applies_to` counts as `tenant`. A `scope`
        that is unknown or does not fit gives way to what is named: the session where there is a `sid`, else the user.

        Raises:
            UnknownEventTypeError: an event of another `type`.
            BadEventError: not UTF-8, not JSON, no subject and no session, or a member of the wrong shape.
        """
        try:
            event = json.loads(text if isinstance(text, str) else text.decode())
            if members.text(event["type"]) != EVENT_TYPE:
                raise UnknownEventTypeError
            data = event["data"]
            sub, sid = members.optional(data["sub"]), members.optional(data["sid"])
            return cls(
                id=members.text(event["id"]),
                tenant=members.text(data["tenant"]),
                iss=members.text(data["iss"]),
                client_id=members.optional(data["client_id"]),
                sub=sub,
                sid=sid,
                jti=members.optional(data["jti"]),
                scope=_scope(members.text(data["scope"]), sub, sid),
                applies_to="client" if members.text(data.get("applies_to", "tenant")) == "client" else "tenant",
                logout_at=members.moment(data["logout_at"]),
                received_at=members.seconds(event["time"]),
                input=members.text(data["input"]),
                origin=members.optional(data.get("origin")),
                reason=members.optional(data.get("reason")),
                account=members.optional(data.get("account")),
                traceparent=trace_context.parse(event.get("traceparent")),
                # What says neither asks for the stricter.
                reauthenticate=data.get("reauthenticate") is not False,
                accounts=tuple(members.text(account) for account in members.array(data["accounts"])),
                sessions=tuple(_session_keys(session) for session in members.array(data.get("sessions", []))),
                beyond=members.moment(data.get("beyond", 0)),
            )
        except KeyError as error:
            raise BadEventError(f"not an eviction event: it has no {error.args[0]}") from error
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise BadEventError(f"not an eviction event: {type(error).__name__}") from error


def _or_null(value: str | None) -> str:
    return "null" if value is None else encode_text(value)


def _session_keys(session: dict[str, object]) -> SessionKeys:
    keys = tuple(members.text(key) for key in members.array(session["keys"]))
    return SessionKeys(members.text(session["client_id"]), keys)


def _scope(stated: str, sub: str | None, sid: str | None) -> Scope:
    # BCL §2.4: one of both, at least. An event without either would name no user, and a reader must not take it for
    # all.
    if sub is None and sid is None:
        raise BadEventError("not an eviction event: it names no subject and no session")
    if stated == "user" and sub is not None:
        return "user"
    return "user" if sid is None else "session"
