"""OpenID Provider Commands (draft 02): `POST /commands/{tenant}`. An OP orders, and is told when it is done.

`invalidate` is answered 200 once every app and every cache has dropped the user, and 503 when that has not come about
in time. The order stands then all the same, and its repeat is answered by what is true at that moment.
`invalidate_async` is answered 202, and the OP is called when it is done: see `inputs.callbacks`.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiohttp import web

from receiver.bus.callbacks import Callback, Callbacks
from receiver.bus.events.event_search import FoundEvent
from receiver.bus.link.connection import answering
from receiver.core.eviction import Eviction, eviction_id
from receiver.core.tokens import command_token
from receiver.core.tokens.command_token import COMMANDS, find_callback_endpoint, find_callback_token
from receiver.errors import Code, DependencyError, ReceiverError, RequestError
from receiver.ingress.http import responses
from receiver.ingress.inputs.address import address_of
from receiver.ingress.inputs.backchannel import one_parameter
from receiver.ingress.inputs.message import HttpInput, Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from receiver.core.tenants import CommandRules, Tenant
    from receiver.ingress.accepted import Accepted
    from receiver.ingress.inputs.resources import Resources

PATH = "/commands"
ORIGIN: Final = "op-command"

LOOK_S = 0.1
"""Seconds between two looks at whether an order is done."""

MAX_CALLBACKS = 1000
"""Orders with an OP still to be called; a further one is answered 429, and counts all the same."""

MAX_WAITING = 64
"""Orders waited for at once; a further one is answered 429, and stands all the same."""

UNRECOGNIZED: Final = 401
CONFLICT: Final = 409


class Commands(HttpInput):
    """Commands of OPs.

    Args:
        resources: Of the receiver; `public.url` is in the tokens' `aud`.
        callbacks: Orders with an OP to be called back.
    """

    name = ORIGIN

    def __init__(self, resources: Resources, callbacks: Callbacks) -> None:
        url = resources.settings.public.url
        self._url = url
        self._resources = resources
        self._callbacks = callbacks
        self._waiting = 0

    async def read(self, message: Message) -> Sequence[Eviction]:
        """The eviction that an `invalidate` or `invalidate_async` orders; none for `metadata`.

        Raises:
            LogoutTokenError: the token fails a rule.
            RequestError: `no_route` where the tenant takes no commands, else `malformed`, `missing_token` or
                `duplicate_param` for the form.
            JWKSUnavailableError: the OP's keys cannot be had now.
            DependencyError: `redis`.
        """
        tenant = message.path_tenant
        if tenant is None or tenant.commands is None or self._url is None:
            raise RequestError(Code.NO_ROUTE, "OpenID Provider Commands are off for this tenant: set commands")
        compact = one_parameter(message.body, "command_token")
        rules = command_token.rules(address_of(self._url, PATH, tenant))
        found = await self._resources.signed_tokens.verify(compact, message, rules)
        message.examined = found
        if found.claims["command"] == "metadata":
            return ()
        sub = str(found.claims["sub"])
        message.unverified_sub = sub
        message.is_unknown = not await self._resources.sessions.knows_user(found.iss, sub)
        return [
            Eviction.for_subject(
                tenant, id=eviction_id(found.iss, found.jti), iss=found.iss, sub=sub, sid=None,
                logout_at=int(found.iat), received_at=message.received_at, input="revocation", origin=ORIGIN,
                applies_to="tenant", jti=found.jti, reason="invalidate",
            )
        ]  # fmt: skip

    async def conclude(self, accepted: Sequence[Accepted], message: Message) -> web.Response:
        """What the OP is told, once it is true.

        Raises:
            RequestError: `busy`.
            DependencyError: `not_done`, or `redis`.
        """
        tenant, found = message.path_tenant, message.examined
        if tenant is None or found is None or tenant.commands is None:
            raise RuntimeError("an answer to what was not read")
        relation = json.dumps([tenant.name, found.iss, found.claims.get("tenant"), found.client_id])
        if not accepted:
            endpoint = find_callback_endpoint(found.claims, tenant)
            with answering():
                await self._callbacks.note_endpoint(relation, endpoint)
            return _json(self._metadata(tenant, found.iss, found.claims.get("tenant"), found.client_id))
        at_once = found.claims["command"] == "invalidate_async"
        if not at_once:
            await self._wait(accepted[0], tenant.commands.wait_s)
        if message.is_unknown and tenant.commands.unknown_status == CONFLICT:
            body = {"error": "incompatible_state", "account_state": "unknown"}
            return _json(body, status=CONFLICT)
        if at_once:
            await self._call_later(accepted[0], relation, find_callback_token(found.claims), tenant.commands)
            return web.Response(status=202, headers=responses.NO_STORE)
        return _json({"sub": accepted[0].eviction.sub, "account_state": "active"})

    def refused(self, error: ReceiverError, policy: responses.Policy) -> web.Response:
        """As `refusal`."""
        return refusal(error, policy)

    def _metadata(self, tenant: Tenant, iss: str, of: object, client_id: str | None) -> dict[str, object]:
        return {
            "context": {"iss": iss, **({"tenant": of} if isinstance(of, str) else {})},
            "command_endpoint": address_of(self._url or "", PATH, tenant),
            "commands_supported": list(COMMANDS),
            "client_id": client_id,
        }

    async def _wait(self, order: Accepted, wait_s: float) -> None:
        if order.entry_id is None:
            raise DependencyError(Code.NOT_DONE, "the order waits in the outbox until Redis is back")
        if self._waiting >= MAX_WAITING:
            raise RequestError(Code.BUSY, f"{MAX_WAITING} commands are waited for already")
        ordered = [FoundEvent(order.entry_id, order.eviction)]
        self._waiting += 1
        try:
            # Apps answer into Redis.
            async with asyncio.timeout(wait_s):
                while not (await self._resources.trace(ordered)).complete:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as error:
            raise DependencyError(
                Code.NOT_DONE, f"not every app has dropped the user within {wait_s:g} s; see receiver trace"
            ) from error
        finally:
            self._waiting -= 1

    async def _call_later(self, order: Accepted, relation: str, token: str | None, rules: CommandRules) -> None:
        with answering():
            if token is None or await self._callbacks.endpoint(relation) is None:
                # Without both the OP is not called (OPC, "Asynchronous Response").
                return
            if order.entry_id is None:
                raise DependencyError(Code.NOT_DONE, "the order waits in the outbox until Redis is back")
            if await self._callbacks.waiting() >= MAX_CALLBACKS:
                raise RequestError(Code.BUSY, f"{MAX_CALLBACKS} OPs are to be called back already")
            deadline = order.eviction.received_at + rules.callback_after_s
            await self._callbacks.put(
                Callback(
                    eviction=order.eviction, entry_id=order.entry_id, relation=relation, token=token, deadline=deadline
                )
            )


def refusal(error: ReceiverError, policy: responses.Policy) -> web.Response:
    """400 for what is wrong with the token, 401 for another OP's, 503 for what is not done."""
    response = responses.refused(error, replace(policy, unavailable_status=503))
    named = {Code.ISSUER: "unrecognized_provider", Code.UNSUPPORTED_COMMAND: "unsupported_command"}.get(error.code)
    if named is None:
        return response
    status = UNRECOGNIZED if error.code is Code.ISSUER else 400
    return _json({"error": named, "error_description": error.code.value}, status=status)


def _json(body: Mapping[str, object], *, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, headers=responses.NO_STORE)
