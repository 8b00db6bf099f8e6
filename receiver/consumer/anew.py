"""Have a user authenticate anew at the OP after a refusal, and know it when that was done. Pure: no I/O, no framework.

Where the session at the OP goes on after a logout, the OP signs the user in again without asking, with the old
`auth_time`, and the app refuses again: an endless loop. So the app's next authorization request gets `prompt=login`,
and a sign-in that answers that very request is newer than every logout before it, no matter what its ID token says.

A browser remembers in a cookie that it was refused. That is a hint, not a proof: without it no parameter is added. What
is asked of the OP is noted in the app's session, by the request's `state` and `nonce`.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from receiver.core.marks import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.consumer.session_layouts import SessionLike

ASKED = "_logout_receiver_anew"
"""Session key of the authorization requests that ask for an authentication and were not answered yet."""

MAX_ASKED = 5
"""Such requests remembered in one session, one for each tab; the oldest give way."""

COOKIE = "logout_receiver_refused"
"""Set when a request is refused, deleted when a sign-in succeeds."""

COOKIE_AGE_S = 600
"""Seconds a refusal is remembered by the browser: as long as a sign-in may take."""

REFUSED = f"{COOKIE}=1; Max-Age={COOKIE_AGE_S}; Path=/; HttpOnly; SameSite=Lax"
"""`Set-Cookie` for a refusal."""

SIGNED_IN = f"{COOKIE}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"
"""`Set-Cookie` for a sign-in after a refusal."""

MAX_PAGE_CHARS = 200_000
"""Characters of the longest page that is searched for an authorization request. Sign-in pages are small."""

# No address has a backtick or a backslash; a script around one has.
_ADDRESS = re.compile(r"""https?://[^\s"'<>`\\]+""")
_ESCAPED = re.compile(r"&(?:amp|#0*38|#x0*26);", re.IGNORECASE)


def was_refused(cookies: str | None) -> bool:
    """Whether a request's `Cookie` header says that the one before was refused."""
    return cookies is not None and f"{COOKIE}=1" in cookies


def asks_anew(url: str) -> bool:
    """Whether this is an authorization request that has the user authenticate in any case (Core §3.1.2.1)."""
    query = _query(url)
    return query is not None and ("login" in query.get("prompt", "").split() or query.get("max_age") == "0")


def with_login(url: str) -> str:
    """The same address, with `prompt=login` where it is an authorization request that may show a page.

    Pushed and signed requests (RFC 9126, RFC 9101) are left as they are: their parameters are not in the address.
    """
    query = _query(url)
    if query is None or asks_anew(url) or "request_uri" in query or "request" in query:
        return url
    prompts = query.get("prompt", "").split()
    if "none" in prompts:
        return url
    # As it was sent, but for this one parameter.
    address, _, rest = url.partition("?")
    sent, hash_sign, fragment = rest.partition("#")
    kept = [item for item in sent.split("&") if item.partition("=")[0] != "prompt"]
    prompt = urlencode({"prompt": " ".join([*prompts, "login"])})
    return f"{address}?{'&'.join([*kept, prompt])}{hash_sign}{fragment}"


def page_with_login(page: str) -> tuple[str, list[str]]:
    """A page of links to authorization requests with `prompt=login`; and these addresses.

    For sign-in pages that send the browser on by themselves, as `identity`'s does.
    """
    asked: list[str] = []

    def change(found: re.Match[str]) -> str:
        # In a script an address stands as it is, and escaped it would be another one.
        is_escaped = _ESCAPED.search(found[0]) is not None
        address = html.unescape(found[0]) if is_escaped else found[0]
        changed = with_login(address)
        if asks_anew(changed):
            asked.append(changed)
        if changed == address:
            return found[0]
        return html.escape(changed) if is_escaped else changed

    return _ADDRESS.sub(change, page), asked


def parameters(
    session: SessionLike | None, cookies: str | None, *, state: str | None, nonce: str | None
) -> dict[str, str]:
    """What an app adds to an authorization request it pushes or signs: `prompt=login` after a refusal, else nothing.

    Args:
        session: The app's; None where it keeps none.
        cookies: The request's `Cookie` header.
        state: What the authorization request will have.
        nonce: What it will have, if any.
    """
    if not was_refused(cookies):
        return {}
    if session is not None:
        note(session, state=state, nonce=nonce)
    return {"prompt": "login"}


def note(session: SessionLike, *, state: str | None, nonce: str | None) -> None:
    """Remember an authorization request that has the user authenticate."""
    if state or nonce:
        session[ASKED] = [*_asked(session), [_name(state), _name(nonce)]][-MAX_ASKED:]


def note_address(session: SessionLike, url: str) -> None:
    """The same, from the request's address."""
    query = _query(url) or {}
    note(session, state=query.get("state"), nonce=query.get("nonce"))


def is_answered(session: SessionLike, claims: Mapping[str, Any], query: str) -> bool:
    """Whether a new sign-in answers such a request.

    By the `nonce` in its ID token where both have one, else by the `state` of the request in which the sign-in came.

    Args:
        session: The app's.
        claims: The ID token's.
        query: Of the request in which the sign-in appeared in the session.
    """
    asked = _asked(session)
    if not asked:
        return False
    nonce, state = claims.get("nonce"), dict(parse_qsl(query)).get("state")
    by_nonce = _name(nonce if isinstance(nonce, str) else None)
    by_state = _name(state)
    return any(
        asked_nonce == by_nonce if asked_nonce and by_nonce else bool(by_state) and asked_state == by_state
        for asked_state, asked_nonce in asked
    )


def forget(session: SessionLike) -> None:
    """The user has signed in: what was asked before is answered or void."""
    if ASKED in session:
        del session[ASKED]


def _query(url: str) -> dict[str, str] | None:
    """The parameters of an authorization request; None for any other address."""
    if "client_id=" not in url:
        return None
    # Cut by hand: an app may redirect to what is no address, and that is not ours to refuse.
    query = dict(parse_qsl(url.partition("?")[2].partition("#")[0], keep_blank_values=True))
    is_request = "client_id" in query and ("response_type" in query or "request_uri" in query or "request" in query)
    return query if is_request else None


def _asked(session: SessionLike) -> list[tuple[str, str]]:
    kept = session.get(ASKED)
    if not isinstance(kept, list):
        return []
    return [(str(one[0]), str(one[1])) for one in kept if isinstance(one, list | tuple) and len(one) == 2]  # noqa: PLR2004


def _name(value: str | None) -> str:
    return digest("asked", "", value) if value else ""
