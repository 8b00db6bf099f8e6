"""The token of an OpenID Provider Command (OpenID Provider Commands 1.0, draft 02).

Its `typ` keeps every other token out, and it out of everything else. Its `aud` is the address that was called, not the
client id; which client is meant stands in `client_id`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from receiver.core.tokens.claims import check_no_nonce, find_token_id, is_plain_id
from receiver.core.tokens.endpoint_token import addressed, short_lived
from receiver.core.tokens.rule import Examination, Rule
from receiver.core.tokens.times import find_issued_at
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.core.tenants import Tenant

    Claims = Mapping[str, object]

TYPE = "command+jwt"
"""The explicit type."""

Command = Literal["metadata", "invalidate", "invalidate_async"]

COMMANDS: tuple[Command, ...] = ("metadata", "invalidate", "invalidate_async")
"""What is offered. Other commands on accounts need a register of accounts, and those on a whole tenant a list."""

MAX_TOKEN_CHARS = 4096
"""Longest `callback_token`, characters. It is kept and sent back in a header."""

# RFC 6750 §2.1: b64token.
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


def check_tenant_claim(claims: Claims, *, required: bool) -> str | None:
    """`tenant` is a string; it may be left out only where the OP is known to do so.

    Raises:
        LogoutTokenError: `malformed`.
    """
    # OPC §3. An OP that has no tenants may leave it out; what is there is held to its form all the same.
    tenant = claims.get("tenant")
    if tenant is None and not required:
        return None
    if not is_plain_id(tenant):
        raise LogoutTokenError(
            Code.MALFORMED, "no tenant, or not a plain string; see commands.require_tenant, if the OP leaves it out"
        )
    return tenant


def check_command(claims: Claims) -> Command:
    """`command` is one that is offered, and the claims are those of an account's or of a tenant's.

    Raises:
        LogoutTokenError: `unsupported_command`, `no_subject` or `malformed`.
    """
    # OPC §4, §5. Compared with a list: a command of a later draft must not be taken for one of these.
    asked = claims.get("command")
    for command in COMMANDS:
        if command == asked:
            break
    else:
        raise LogoutTokenError(Code.UNSUPPORTED_COMMAND, f"command is none of {', '.join(COMMANDS)}")
    if command == "metadata":
        # A command of the tenant: an account in it would be one that is not meant.
        if "sub" in claims or "aud_sub" in claims:
            raise LogoutTokenError(Code.MALFORMED, "a command of a whole tenant must not name an account")
    elif not is_plain_id(claims.get("sub")):
        raise LogoutTokenError(Code.NO_SUBJECT, "no sub, or not a plain string: no account is named")
    if command == "invalidate" and "callback_token" in claims:
        raise LogoutTokenError(Code.MALFORMED, "callback_token does not belong into this command")
    if command != "metadata" and "metadata" in claims:
        raise LogoutTokenError(Code.MALFORMED, "metadata does not belong into this command")
    return command


def find_callback_token(claims: Claims) -> str | None:
    """What we show the OP when we call it back; None where it wants no call.

    Raises:
        LogoutTokenError: `malformed` for what is no bearer token (RFC 6750 §2.1).
    """
    # It is sent back in an Authorization header: a line break in it would begin another header.
    token = claims.get("callback_token")
    if token is None:
        return None
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARS or _BEARER.fullmatch(token) is None:
        raise LogoutTokenError(Code.MALFORMED, "callback_token is not a bearer token")
    return token


def find_callback_endpoint(claims: Claims, tenant: Tenant) -> str | None:
    """Where the OP wants to be called, by its metadata; None where it does not.

    Raises:
        LogoutTokenError: `malformed`, also for an address that the tenant does not allow.
    """
    metadata = claims.get("metadata", {})
    if not isinstance(metadata, dict):
        raise LogoutTokenError(Code.MALFORMED, "metadata is not an object")
    endpoint = metadata.get("callback_endpoint")
    if endpoint is None:
        return None
    if not isinstance(endpoint, str) or not may_be_called(endpoint, tenant):
        raise LogoutTokenError(
            Code.MALFORMED, "callback_endpoint is not at the issuer's origin, nor in commands.callback_origins"
        )
    return endpoint


def may_be_called(endpoint: str, tenant: Tenant) -> bool:
    """Whether this address of an OP is at an origin that the tenant's settings name: a token alone names no host."""
    # RFC 8725 §3.10: an address in a token must not lead to a request of the sender's choice (SSRF). The origin is
    # compared as a whole, user part and port included; a fragment is never sent, so an address with one is a mistake.
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        return False
    plain = endpoint.isascii() and endpoint.isprintable() and " " not in endpoint
    allowed = tenant.commands is not None and f"{parts.scheme}://{parts.netloc}" in tenant.commands.callback_origins
    return plain and allowed and not parts.fragment


def rules(audience: str) -> tuple[Rule, ...]:
    """What a command token must keep, beside its key and its signature.

    Args:
        audience: The address of the endpoint, as the OP knows it.
    """

    def tenant(e: Examination) -> None:
        commands = e.tenant.commands
        check_tenant_claim(e.claims, required=commands is None or commands.require_tenant)

    def callback(e: Examination) -> None:
        find_callback_token(e.claims)
        find_callback_endpoint(e.claims, e.tenant)

    return (
        *addressed(TYPE, "OPC §3", audience, client="client_id", send=_SEND),
        Rule(
            "5", "iat", "OPC §3", find_issued_at, shows=("claims.iat",),
            refusals=dict.fromkeys((Code.IAT_MISSING, Code.IAT_FUTURE, Code.TOO_OLD, Code.MALFORMED), _SEND),
        ),
        *short_lived("OPC §3", first=6, send=_SEND),
        Rule("8", "jti", "OPC §3", find_token_id, refusals={Code.JTI_MISSING: _SEND}),
        Rule("9", "nonce", "OPC §3", lambda e: check_no_nonce(e.claims), refusals={Code.NONCE: _SEND}),
        Rule(
            "10", "tenant", "OPC §3", tenant, shows=("claims.tenant",),
            refusals={Code.MALFORMED: "OP: send tenant; operator: or set commands.require_tenant: false."},
        ),
        Rule(
            "11", "command", "OPC §4, §5", lambda e: check_command(e.claims), shows=("claims.command",),
            refusals=dict.fromkeys((Code.UNSUPPORTED_COMMAND, Code.NO_SUBJECT, Code.MALFORMED), _SEND),
        ),
        Rule("12", "callback", "OPC, Asynchronous Response", callback, refusals={Code.MALFORMED: _SEND}),
    )  # fmt: skip


_SEND = "OP: send the token that OpenID Provider Commands describes."
