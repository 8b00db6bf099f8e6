"""The answer to a request that is stopped. Pure: no framework."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from receiver.consumer import anew

if TYPE_CHECKING:
    from collections.abc import Callable

    Header = Callable[[str], str | None]

RETRY_AFTER_S = 5
"""Seconds told to a client that was refused because nothing can tell whether it is signed out."""

_TEXTS = {
    "signed_out": "You have been signed out. Sign in again.\n",
    "temporarily_unavailable": "Your session cannot be verified at the moment. Try again in a few seconds.\n",
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Signed out</title></head>
<body><h1>You have been signed out</h1>
<p>The last sign-in was not accepted, because it was not a new one. Sign in again, and enter your credentials when you
are asked for them. If you are not asked, sign out at your identity provider first, or ask its operator.</p>{link}
</body></html>
"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a request that is stopped."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def signed_out(*, login_url: str | None, navigates: bool, again: bool, header: Header) -> Refusal:
    """For a request of a session that is over.

    Args:
        login_url: Where a browser is sent; None for nowhere.
        navigates: Whether this is a browser that shows what it gets.
        again: Whether the request before was refused, too: it is sent nowhere then, so that it does not go round.
        header: Looks up a request header.
    """
    cookie = {"Set-Cookie": anew.REFUSED}
    if navigates and again:
        link = "" if login_url is None else f'\n<p><a href="{html.escape(login_url)}">Sign in</a></p>'
        return _answer(401, "text/html; charset=utf-8", _PAGE.format(link=link), cookie)
    if navigates and login_url is not None:
        return Refusal(302, {"Location": login_url, "Cache-Control": "no-store", **cookie})
    return _refusal(401, "signed_out", header, cookie)


def unavailable(header: Header) -> Refusal:
    """For a request about which nothing is known."""
    return _refusal(503, "temporarily_unavailable", header, {"Retry-After": str(RETRY_AFTER_S)})


def is_navigation(method: str, header: Header) -> bool:
    """Whether a browser will show the answer as a page."""
    mode = header("sec-fetch-mode")
    return method in {"GET", "HEAD"} and (mode == "navigate" if mode else "text/html" in (header("accept") or ""))


def _refusal(
    status: int, error: Literal["signed_out", "temporarily_unavailable"], header: Header, headers: dict[str, str]
) -> Refusal:
    if "json" in (header("accept") or ""):
        return _answer(status, "application/json", json.dumps({"error": error}), headers)
    return _answer(status, "text/plain; charset=utf-8", _TEXTS[error], headers)


def _answer(status: int, media_type: str, body: str, headers: dict[str, str]) -> Refusal:
    return Refusal(status, {"Content-Type": media_type, "Cache-Control": "no-store", **headers}, body.encode())
