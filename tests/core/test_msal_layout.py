"""What becomes of MSAL's cache when some of its users are signed out, and how Redis can do it to a changed value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from receiver.core.layouts import LAYOUTS, LayoutName
from receiver.core.layouts.layout import STRING, WHOLE, Change, Cut
from receiver.core.layouts.msal import cut_of
from receiver.core.layouts.msal_cache import Holder, RefreshToken
from tests.evictor.written import accounts_in, app_token, dumped, merged, tokens

OP = "https://op.example"
MINE = Holder("u1", "c1")
TOKEN = RefreshToken("c1", "rt-u1-login.example.com-c1")
ONE = dumped(tokens(OP))
TWO = dumped(tokens(OP), tokens(OP, sub="u2", account="u2"))


def change(name: LayoutName, blob: bytes, *ended: Holder) -> Change:
    """What becomes of a value."""
    layout = LAYOUTS[name]
    raw = {"data": blob, "absexp": b"-1", "sldexp": b"-1"} if name == "microsoft-identity-web" else {STRING: blob}
    return layout.without(layout.open(raw), ended or (MINE,))


@pytest.mark.parametrize("name", ["microsoft-identity-web", "msal-node", "msal-python"])
def test_last_user(name: LayoutName) -> None:
    """The key is deleted, and the user's refresh token can be revoked."""
    assert Change(None, {MINE: [TOKEN]}) == change(name, ONE)


def test_last_user_twice() -> None:
    """A member that is there twice is hidden behind itself to a parser; both are the user's, and the key goes."""
    entry = b'"k":' + json.dumps(next(iter(tokens(OP)["RefreshToken"].values()))).encode()
    blob = b'{"RefreshToken":{' + entry + b"," + entry + b"}}"

    assert Change(None, {MINE: [TOKEN, TOKEN]}) == change("msal-node", blob)


def test_cache_that_stays() -> None:
    """MSAL4J keeps what it has in memory when the key is gone, so the emptied cache is left in place."""
    changed = change("msal4j", ONE)

    assert changed.new is not None
    assert (set(), {MINE: [TOKEN]}) == (accounts_in(changed.new), changed.refresh_tokens)


@pytest.mark.parametrize("name", ["microsoft-identity-web", "msal-node", "msal4j", "msal-python"])
def test_one_of_two_users(name: LayoutName) -> None:
    """Only the one's entries go; each is named by its bytes, for Redis to cut out while others change the value."""
    changed = change(name, TWO)

    assert changed.new is not None
    assert changed.cut is not None
    assert ({"u2"}, {MINE: [TOKEN]}) == (accounts_in(changed.new), changed.refresh_tokens)
    assert (3, {b"u1": 3}) == (len(changed.cut.pieces), changed.cut.accounts)
    assert all(piece in TWO and piece not in changed.new for piece in changed.cut.pieces)
    assert len(TWO) - len(changed.new) == sum(len(piece) + len(b", ") for piece in changed.cut.pieces)


def test_an_applications_own_token_is_of_value() -> None:
    """What is left holds a token, so the key stays."""
    changed = change("msal-node", dumped(tokens(OP), app_token()))

    assert changed.new is not None
    assert app_token()["AccessToken"] == json.loads(changed.new)["AccessToken"]


def test_value_that_goes_whole() -> None:
    """One that cannot be read, and one whose holder stands for all of it."""
    assert Change(None) == change("msal-node", b"\x01cipher")
    assert Change(None) == change("msal-node", TWO, WHOLE)


def test_wrapped_value_is_put_back_whole() -> None:
    """In its wrapping the entries' bytes are others, so that Redis could not cut them out."""
    changed = change("msal-python", json.dumps(TWO.decode()).encode())

    assert changed.new is not None
    assert ({"u2"}, None) == (accounts_in(json.loads(changed.new)), changed.cut)


@pytest.mark.parametrize(("blob", "readable"), [(b"{}", True), (b"", True), (b'{"a":1}', False)])
def test_empty_cache(blob: bytes, *, readable: bool) -> None:
    """It is read, and no user's; an object of other members may be any program's."""
    found = LAYOUTS["msal-node"].open({STRING: blob})

    assert (readable, {}) == (found.readable, found.holders)


def test_problems_are_passed_on() -> None:
    """Entries that name no user are left out, and it is said why."""
    odd: dict[str, Any] = merged(tokens(OP), {"RefreshToken": {"odd": {"home_account_id": "x" * 600}}})
    found = LAYOUTS["msal-node"].open({STRING: dumped(odd)})

    assert (True, frozenset({"long_name"}), {"u1"}) == (found.readable, found.problems, found.accounts)


PIECES = [b'"k":{"home_account_id":"u1"}']
COUNTED = b'{"home_account_id":"u1","x":{"home_account_id" : "u1"},"y":{"home_account_id":"u2"}}'


@pytest.mark.parametrize(
    ("serialised", "pieces", "accounts", "counts"),
    [
        (COUNTED, PIECES, {"u1"}, {b"u1": 2}),
        (COUNTED, PIECES, {"u1", "u2"}, {b"u1": 2, b"u2": 1}),
        (COUNTED, PIECES, {"a.b-c_d@e|f:g+h=i~j"}, {b"a.b-c_d@e|f:g+h=i~j": 0}),
        # Nothing to cut, or an account that one library escapes and another does not, or is none.
        (COUNTED, [], {"u1"}, None),
        (COUNTED, PIECES, {"u1", "u/1"}, None),
        (COUNTED, PIECES, {'u"1'}, None),
        (COUNTED, PIECES, {"ü"}, None),
        (COUNTED, PIECES, {None}, None),
        # In another encoding its bytes are not those that Redis would look for.
        (COUNTED.decode().encode("utf-16"), PIECES, {"u1"}, None),
        (b"\xef\xbb\xbf" + COUNTED, PIECES, {"u1"}, None),
    ],
)
def test_what_redis_may_cut_out(
    serialised: bytes, pieces: list[bytes], accounts: set[str | None], counts: dict[bytes, int] | None
) -> None:  # fmt: skip
    """Where every account is told by its bytes: how many entries name it, so that a sign-in in between is noticed."""
    found = cut_of(serialised, pieces, {Holder(account, "c1") for account in accounts})

    assert (None if counts is None else Cut(pieces, counts)) == found
