"""`receiver order` and `receiver names`: calls of a running receiver's API, which audits what is ordered."""

from __future__ import annotations

import http.client
import json
import secrets
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Way = Literal["sub", "sid", "home_account_id", "username", "email"]

WAYS: tuple[Way, ...] = ("sub", "sid", "home_account_id", "username", "email")
"""How an order may name a user or a session; members of `POST /v1/evictions`."""

OPTION = {"account": "home_account_id"}
"""What a way is called on the command line, where that is shorter; a file may say either."""

TIMEOUT_S = 10.0
"""Seconds one call may take."""

TRIES = 5
"""Attempts at an order that the receiver cannot take now."""

PAUSE_S = 1.0
"""Seconds between two looks at who has answered, and between two attempts."""


@dataclass(frozen=True, slots=True)
class Target:
    """The user or session that one order names.

    Attributes:
        way: How.
        value: The name.
    """

    way: Way
    value: str


@dataclass(frozen=True, slots=True)
class Ordered:
    """What became of one order.

    Attributes:
        number: Its place among the orders, from 1.
        target: The user or session it named.
        events: Ids of its events; empty where it was refused.
        problem: The code it was refused with; empty where it was not.
    """

    number: int
    target: Target
    events: tuple[str, ...] = ()
    problem: str = ""


class ApiClient:
    """Calls the API of one receiver.

    Args:
        url: Of its internal listener.
        token: A bearer token with the scopes that are needed.
        sleep: Waits so many seconds.
    """

    def __init__(self, url: str, token: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError("--url: expected an http address")
        self._url = url.rstrip("/") + "/v1"
        self._token = token
        self.sleep = sleep

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON body of the answer.

        Raises:
            ConfigurationError: no receiver answers there.
        """
        try:
            request = urllib.request.Request(  # noqa: S310  # the scheme was checked
                self._url + path,
                method=method,
                data=None if body is None else json.dumps(body).encode(),
                headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310  # as above
                return response.status, json.load(response)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, _body_of(refusal)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ConfigurationError(f"no receiver's API answers at {self._url}: {error}") from error

    def call_until_taken(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """The same, a few times where the receiver cannot take it now; for calls that may be repeated."""
        for _ in range(TRIES - 1):
            status, answer = self.call(method, path, body)
            if status not in {429, 503}:
                return status, answer
            self.sleep(PAUSE_S)
        return self.call(method, path, body)


def targets_in(lines: Iterable[str]) -> list[Target]:
    """The targets of a file, one a line: a way and a name, as in `sub 248289761001`.

    Raises:
        ConfigurationError: a line of another form, or none at all. Nothing is quoted.
    """
    targets = []
    for number, line in enumerate(lines, 1):
        way, _, value = line.strip().partition(" ")
        if not way or way.startswith("#"):
            continue
        known = next((each for each in WAYS if each == OPTION.get(way, way)), None)
        if known is None or not value.strip():
            raise ConfigurationError(f"line {number} is not one of {', '.join(WAYS)}, a space, and a name")
        targets.append(Target(known, value.strip()))
    if not targets:
        raise ConfigurationError("the file names no user")
    return targets


def order(client: ApiClient, targets: Sequence[Target], *, tenant: str, reason: str) -> Iterator[Ordered]:
    """Order these users' sessions to end, one after another; what became of each, as soon as that is known.

    Args:
        client: Its token needs the scope `orders`.
        targets: The users and sessions.
        tenant: The users' tenant.
        reason: For the event and the audit log.

    Raises:
        ConfigurationError: no receiver answers, or it does not know the token.
    """
    # A call that is repeated because its answer was lost must be a duplicate.
    run = secrets.token_hex(8)
    for number, target in enumerate(targets, 1):
        body = {"tenant": tenant, target.way: target.value, "reason": reason, "idempotency_key": f"{run}-{number}"}
        status, answer = client.call_until_taken("POST", "/evictions", body)
        if status in {401, 403}:
            raise ConfigurationError(f"the API refuses the token: {answer.get('error_description')}")
        if status in {200, 202}:
            yield Ordered(number, target, tuple(one["id"] for one in (answer, *answer.get("further", ()))))
        else:
            yield Ordered(number, target, problem=str(answer.get("error_description", status)))


def waiting_for(client: ApiClient, events: Iterable[str]) -> dict[str, list[str]]:
    """Events that are not done, and the apps each waits for; empty once every app has answered.

    Args:
        client: Its token needs the scope `read`.
        events: Their ids.

    Raises:
        ConfigurationError: as `order`.
    """
    waiting = {}
    for event in events:
        status, answer = client.call("GET", f"/evictions/{event}")
        if status in {401, 403}:
            raise ConfigurationError("the API refuses the token: --wait needs the scope read")
        if status != 200 or not answer.get("complete"):  # noqa: PLR2004  # HTTP
            waiting[event] = [str(app["app"]) for app in answer.get("apps", ()) if not app.get("done")]
    return waiting


def erase(client: ApiClient, tenant: str, way: Literal["email", "username"], value: str) -> bool:
    """Forget a name; whether it was known.

    Raises:
        ConfigurationError: the receiver does not answer or refuses.
    """
    status, answer = client.call_until_taken("POST", "/names/erase", {"tenant": tenant, way: value})
    if status != 200:  # noqa: PLR2004  # HTTP
        raise ConfigurationError(f"the API refuses: {answer.get('detail') or answer.get('error_description')}")
    return bool(answer["erased"])


def _body_of(refusal: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        body = json.load(refusal)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
