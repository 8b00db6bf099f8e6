"""Plays of the API's bodies, and of what OPs answer besides keys."""

from __future__ import annotations

import json
from typing import Any

from receiver.bus.sign_ins import names
from receiver.core.directory import read_page
from receiver.core.eviction import Eviction
from receiver.core.marks import digest
from receiver.core.numeric_date import MAX_NUMERIC_DATE
from receiver.core.realm import read_admin_events, read_users
from receiver.core.tenants import GUID, Tenant
from receiver.core.tokens.discovery import endpoint_in
from receiver.errors import FetchError, LogoutTokenError, RequestError
from receiver.ingress.api.sessions import Registration, SessionIdentity
from receiver.ingress.http.json_body import JsonBody, parse_body
from receiver.ingress.inputs import revocation
from receiver.ingress.inputs.admin import Order, eviction_of
from receiver.outbound.fetch import Answer
from receiver.outbound.revocation_request import judge
from tests.support.clock import NOW

TENANT = Tenant(name="t1", issuer="https://op.example", client_ids=frozenset({"c1"}))


def play_order(body: bytes) -> None:
    """Any order: refused, or an eviction that can be read."""
    try:
        eviction = eviction_of(parse_body(body, Order), TENANT, NOW)
    except (RequestError, LogoutTokenError):
        return
    assert Eviction.from_json(eviction.to_json()) == eviction


def play_registration(body: bytes) -> None:
    """Any registration, and any question whether a session is over: refused, or names that Redis can hold."""
    models: tuple[type[JsonBody], ...] = (Registration, SessionIdentity)
    for model in models:
        try:
            call = parse_body(body, model)
        except (RequestError, LogoutTokenError):
            continue
        json.dumps(call.model_dump()).encode()


def play_revocation_call(body: bytes) -> None:
    """Any call of an identity provider that revokes a user: refused, or one subject."""
    try:
        subject = revocation._subject_in(body)
        name = revocation._text(subject.get("id"))
    except RequestError:
        return
    assert digest("sub", TENANT.issuer, name)


def play_registered_name(field: bytes) -> None:
    """Any subject kept beside a mail address: passed over, or a name of which a digest can be made."""
    sub = names._subject(field)
    if sub is not None:
        assert digest("sub", TENANT.issuer, sub)


def play_discovery(text: bytes) -> None:
    """Any discovery document: refused, or the address it names."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):
        try:
            assert isinstance(endpoint_in(document, "jwks_uri", issuer=TENANT.issuer, url="u"), str)
        except FetchError:
            return


def play_directory_page(text: bytes) -> None:
    """Any answer of Microsoft Graph: refused whole, or users with a GUID and dates that can be written."""
    try:
        page = read_page(json.loads(text))
    except (ValueError, RecursionError, OverflowError):
        return
    for user in page.users:
        assert GUID.fullmatch(user.id)
        assert all(date is None or 0 <= date <= MAX_NUMERIC_DATE for date in (user.valid_from, user.deleted_at))


DIRECTORY_USERS = ("6ea91a8d-e32e-41a1-b7bd-d2d185eed0e0", "6EA91A8D-E32E-41A1-B7BD-D2D185EED0E0", "x")


def _directory_values(user: str) -> list[Any]:
    return [
        [],
        {},
        [{"id": user, "accountEnabled": False, "signInSessionsValidFromDateTime": "2026-11-28T20:15:30Z"}],
        [{"id": user, "@removed": {"reason": "changed"}}],
        [{"id": user, "deletedDateTime": "0001-01-01T00:00:00.1234567Z"}, {"id": user, "deletedDateTime": 5}],
        [{"id": user, "signInSessionsValidFromDateTime": "9999-12-31T23:59:59.9999999-23:59"}],
    ]


DIRECTORY_SEEDS = [
    json.dumps({"value": value, "@odata.deltaLink": "https://graph.example/v1.0/users/delta?$deltatoken=1"}).encode()
    for user in DIRECTORY_USERS
    for value in _directory_values(user)
]


def play_realm(text: bytes) -> None:
    """Any answer of a realm's admin API: refused whole, or events and users whose names Redis can hold."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return
    for read in (read_admin_events, read_users):
        try:
            found = read(answer)
        except ValueError:
            continue
        assert all(digest("sub", TENANT.issuer, str(one)) for one in found)


REALM_SEEDS = [
    json.dumps([{"id": "e", "time": 1, "operationType": operation, "resourcePath": path, "enabled": False}]).encode()
    for operation, path in (
        ("ACTION", "logout-all"),
        ("DELETE", "users/u"),
        ("UPDATE", "users/u"),
        ("UPDATE", "users/u/x"),
        ("DELETE", None),
    )
] + [b"{}", b"[1]", b'[{"time": -1}]', b'[{"id": "\\ud800", "time": 1}]']


def play_revocation(data: bytes) -> None:
    """Any answer to a revocation: a verdict, and a wait that is bounded."""
    status, _, rest = data.partition(b"\xff")
    retry_after, _, body = rest.partition(b"\xff")
    number = int.from_bytes(status[:2], "big") % 600
    verdict = judge(Answer(number, retry_after.decode("latin-1") or None, body), NOW)
    assert verdict.wait_s is None or 0 <= verdict.wait_s <= 86_400


BODY_SEEDS = [
    json.dumps(body).encode()
    for body in (
        {"tenant": "t1", "sub": "u", "sid": "s", "reason": "r", "logout_at": NOW, "idempotency_key": "k"},
        {"tenant": "t1", "iss": TENANT.issuer, "sub": "u", "client_id": "c1"},
        {"iss": "i", "client_id": "c1", "sub": "u", "sid": "s", "auth_time": 1.5, "iat": 1, "home_account_id": "a.b"},
        {"iss": "i", "client_id": "c1", "sub": "u", "keys": ["k1", "k2"], "lifetime_s": 600},
        {"iss": "i", "client_id": "\ud800", "sub": None},
    )
] + [b"[" * 20, b'{"a":1,"a":2}', b'{"tenant":1e400}', b"\xff"]
CALL_SEEDS = [
    b'{"sub_id":{"format":"opaque","id":"u1"}}', b'{"subject":{"format":"email","email":"a@b"}}', b'{"sub_id":[]}',
    b'{"sub_id":{"id":"\\ud800"}}', b'{"sub_id":{},"subject":{}}',
]  # fmt: skip
NAME_SEEDS = [b'"u1"', b'""', rb'"\ud800"', b"[" * 3000, b"1", b"\xff"]
DISCOVERY_SEEDS = [json.dumps({"issuer": TENANT.issuer, "jwks_uri": uri}).encode() for uri in ("https://x", 1, None)]
REVOCATION_SEEDS = [
    b"\x00\xc8\xff\xff", b"\x01\x90\xff\xff" + b'{"error":"invalid_client"}', b"\x01\xad\xff120\xff",
    b"\x01\xf7\xffWed, 21 Oct 2015 07:28:00 GMT\xff", b"\x01\xf7\xff\xb2\xff", b"\x01\x90\xff\xff" + b"[" * 3000,
]  # fmt: skip
