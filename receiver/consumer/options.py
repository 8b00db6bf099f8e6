"""What every framework integration can be told, and what of it is the guard's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypedDict

from receiver.bus.keys import DEFAULT_PREFIX
from receiver.bus.link import connection
from receiver.consumer.sessions import DEFAULT_LIFETIME_S
from receiver.core.marks import CLOCK_SKEW_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from receiver.bus.link.connection import RedisOptions
    from receiver.consumer.guard import GuardOptions
    from receiver.core.eviction import Eviction

log = logging.getLogger("receiver.consumer")

SHARED_NAMES = frozenset({"__main__", "aiohttp", "app", "application", "asgi", "django", "main", "wsgi"})
"""Names that many apps have when none is given: a module's or a framework's."""


class Options(TypedDict, total=False):
    """What every integration can be told.

    Attributes:
        claims: Where the ID token claims are: a session key, or a function of the framework's request that
            returns them or None. Default: the known layouts (`session_layouts`).
        account: Where MSAL's `home_account_id` is: a session key, or a function of the claims. Default: read
            from the session's MSAL cache, else the `sub`.
        client_id: The app's own at the OP: tells which client is meant where an ID token names several and has no
            `azp`. Default: all that are named.
        login_url: Where a signed-out browser is sent. Default: nowhere, it is answered 401. A request for
            this path itself goes on, without the session.
        exempt: Paths not checked: `/healthz` exactly, `/static/` and all below it. Default none.
        refuse_when_unknown: True answers 503 when neither this process nor Redis can tell. Default False:
            the request is served.
        name: The app's name in log lines, in the trace and in metrics. Give every app its own: two of one name are
            one app to the trace. Default: Flask's name of the app, else the framework's, with a warning.
        prefix: Key prefix the receiver uses. Default `{logout}`.
        redis_options: User, password, TLS files: see `receiver.bus.link.connection.RedisOptions`.
        lifetime_s: Seconds a registration is kept, at least the longest session. Default: 14 days, or the
            framework's own limit where that is longer.
        clock_skew_s: Seconds the clocks of OP and receiver may differ. Default 60: so long before an operator's order a
            sign-in may have authenticated and begin after it.
        on_eviction: Also called for every eviction, to drop tokens kept outside the session.
        on_reset: Also called when evictions were missed; drop all such tokens.
    """

    claims: str | Callable[[Any], Any] | None
    account: str | Callable[[Mapping[str, Any]], str | None] | None
    client_id: str | None
    login_url: str | None
    exempt: Iterable[str]
    refuse_when_unknown: bool
    name: str
    prefix: str
    redis_options: RedisOptions
    lifetime_s: int
    clock_skew_s: float
    on_eviction: Callable[[Eviction], Any] | None
    on_reset: Callable[[], Any] | None


def guard_options(redis_url: str, options: Options, *, name: str, longest_session_s: float = 0) -> GuardOptions:
    """The part of the options that is the guard's; reaches for no Redis.

    Args:
        redis_url: The Redis the receiver publishes to.
        options: As the app gave them.
        name: The app's, where it gave none.
        longest_session_s: Seconds, as the framework is set up; 0 when it does not say.

    Raises:
        ConfigurationError: the URL or an option of Redis cannot be used.
        TypeError: an option that does not exist.
    """
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        raise TypeError(f"no such option: {', '.join(sorted(unknown))}; see docs/frameworks.md")
    redis_options = options.get("redis_options", {})
    connection.check_url(redis_url, **redis_options)
    if "name" not in options and name in SHARED_NAMES:
        log.warning(
            "this app has no name of its own and is called %r: with another app of that name it counts as one, and a "
            "logout that reached only one of them looks complete; give the option `name`",
            name,
        )
    return {
        "app": options.get("name", name),
        "prefix": options.get("prefix", DEFAULT_PREFIX),
        "lifetime_s": options.get("lifetime_s", max(DEFAULT_LIFETIME_S, int(longest_session_s))),
        "client_id": options.get("client_id"),
        "clock_skew_s": options.get("clock_skew_s", CLOCK_SKEW_S),
        "on_eviction": options.get("on_eviction"),
        "on_reset": options.get("on_reset"),
        "refuse_when_unknown": options.get("refuse_when_unknown", False),
        **redis_options,
    }
