"""Take one account out of an MSAL blob, and nothing else: one test a rule."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from receiver.core.layouts import msal_cache
from receiver.core.layouts.cached_sign_in import from_claims
from receiver.core.layouts.msal_cache import Holder
from tests.evictor.written import ENVIRONMENT, accounts_of, app_token, id_token, merged, tokens

if TYPE_CHECKING:
    from collections.abc import Callable

OP = "https://op.example"


def all_of(account: str | None) -> Callable[[Holder], bool]:
    """Chooses every client's entries of an account."""
    return lambda holder: holder.account == account


def without(blob: dict[str, Any], ended: Callable[[Holder], bool]) -> dict[str, Any]:
    """The blob when these holders' entries are gone."""
    left = msal_cache.without(json.dumps(blob), {holder for holder in msal_cache.sign_ins(blob) if ended(holder)})
    parsed: dict[str, Any] = json.loads(left.serialised)
    return parsed


def test_every_client_and_every_alias() -> None:
    """The account's access, refresh and ID tokens and account go: every client's, under every host's alias."""
    aliases = [
        tokens(OP, client=client, environment=environment, cached_at=5)
        for client in ("c1", "c2")
        for environment in ("login.windows.net", "login.microsoftonline.com")
    ]
    assert set() == accounts_of(without(merged(*aliases), all_of("u1")))


def test_others_stay_to_the_letter() -> None:
    """Other accounts, application tokens and sections nobody knows stay as they are, big numbers included."""
    others = merged(
        tokens(OP, sub="u2", account="u2", cached_at=5),
        app_token(),
        {"AppMetadata": {"appmetadata-x-c1": {"client_id": "c1", "family_id": "1"}}},
        {"UnknownSection": {"x": {"id": 12345678901234567890, "list": [], "float": 1.5, "text": "ü€"}}},
    )
    blob = merged(others, tokens(OP, cached_at=5))
    left = without(blob, all_of("u1"))
    assert others == {name: section for name, section in left.items() if section}


def test_one_clients_entries() -> None:
    """Where only one client's sign-in is over, the account stays as long as another client has tokens for it."""
    blob = merged(tokens(OP, client="c1", cached_at=5), tokens(OP, client="c2", cached_at=5))
    left = without(blob, lambda holder: holder.client_id == "c1")
    assert {"c2"} == {entry["client_id"] for name in msal_cache.CREDENTIALS for entry in left[name].values()}
    assert 1 == len(left["Account"])


def test_users_of_two_ops_who_are_called_alike() -> None:
    """Each has an account, at the host of the OP: that of the one who is gone goes, and no other."""
    blob = merged(
        tokens(OP, client="c1", environment="op.example", cached_at=5),
        tokens("https://other.example", client="d1", environment="other.example", cached_at=5),
    )
    left = without(blob, lambda holder: holder.client_id == "c1")
    assert ["other.example"] * 4 == [entry["environment"] for section in left.values() for entry in section.values()]


@pytest.mark.parametrize("host", [None, 5, ["op.example"]])
def test_accounts_without_a_host(host: object) -> None:
    """They stay with the other client's tokens, and go with the last."""
    blob = merged(tokens(OP, client="c1", cached_at=5), tokens(OP, client="c2", cached_at=5))
    for section in blob.values():
        for entry in section.values():
            entry["environment"] = host
    assert 1 == len(without(blob, lambda holder: holder.client_id == "c1")["Account"])
    assert set() == accounts_of(without(blob, all_of("u1")))


def test_an_account_without_tokens_is_found() -> None:
    """An account whose tokens have all gone is somebody's still: an app that only asks for accounts shows a user."""
    blob = {"Account": tokens(OP, cached_at=5)["Account"]}
    assert set() == accounts_of(without(blob, all_of("u1")))


def test_no_account_at_all() -> None:
    """MSAL4J names no account where the OP sends no `client_info`: a client's user tokens go, its own tokens stay."""
    own = app_token("c1")
    blob = merged(own, tokens(OP, account=None, cached_at=5), tokens(OP, account=None, client="c2", cached_at=5))
    left = without(blob, lambda holder: holder.client_id == "c1")
    assert own["AccessToken"].items() <= left["AccessToken"].items()
    assert {"c2"} == {entry["client_id"] for entry in left["RefreshToken"].values()}
    assert {"c1", "c2"} == {entry["client_id"] for entry in left["AccessToken"].values()}
    assert 2 == len(left["AccessToken"])


@pytest.mark.parametrize("name", [None, ""])
def test_an_account_that_names_none(name: str | None) -> None:
    """It is of no user that can be told, so it stays when the tokens go that name none either."""
    blob = merged(
        tokens(OP, account=None, cached_at=5),
        {"Account": {"odd": {"home_account_id": name, "environment": ENVIRONMENT}}},
    )
    assert ["odd"] == list(without(blob, all_of(None))["Account"])


def test_application_tokens_are_nobodys() -> None:
    """A blob with nothing but application tokens has no sign-in, and nothing in it is removed."""
    blob = app_token()
    assert {} == msal_cache.sign_ins(blob)
    assert app_token() == without(blob, lambda _: True)
    assert 0 == msal_cache.remove(blob, {Holder(None, "c1")})[0]


def test_refresh_tokens_are_handed_out() -> None:
    """What was removed can be revoked: the client and the refresh token, each once."""
    blob = merged(tokens(OP, client="c1"), tokens(OP, client="c2"), tokens(OP, sub="u2", account="u2"))
    _, removed = msal_cache.remove(blob, {Holder("u1", "c1"), Holder("u1", "c2")})
    assert {"c1", "c2"} == {token.client_id for token in removed}
    assert 2 == len(removed)


def test_what_a_sign_in_says() -> None:
    """The claims of its ID token, the age of its oldest access token, and the account of the entry."""
    blob = merged(
        tokens(OP, account="home.u1", sid="s", auth_time=7, cached_at=50),
        tokens(OP, account="home.u1", cached_at=40, scopes="Mail.Read"),
        tokens(OP, sub="u2", account="u2", cached_at=10),
    )
    # The second sign-in's ID token has replaced the first one's: MSAL keeps one.
    blob["IdToken"] = merged(tokens(OP, account="home.u1", sid="s", auth_time=7), tokens(OP, sub="u2", account="u2"))[
        "IdToken"
    ]
    found = msal_cache.sign_ins(blob)
    (mine,) = found[Holder("home.u1", "c1")]
    assert (OP, ("c1",), "u1", "s", 7, "home.u1", 40) == (
        mine.iss, mine.client_ids, mine.sub, mine.sid, mine.auth_time, mine.account, mine.oldest_token_at,
    )  # fmt: skip
    assert 10 == found[Holder("u2", "c1")][0].oldest_token_at


def test_an_account_without_id_token() -> None:
    """It is found by its account, and says nothing else."""
    (found,) = msal_cache.sign_ins(tokens(None, account="home.u1", cached_at=9))[Holder("home.u1", "c1")]
    assert (None, None, None, "home.u1", 9) == (found.iss, found.sub, found.sid, found.account, found.oldest_token_at)


@pytest.mark.parametrize(
    "text",
    [
        b"\x09\xf0\xc9\xf0" + bytes(range(60)),
        b"[]",
        b"5",
        b'"text"',
        b"{",
        b'{"AccessToken": []}',
        b'{"AccessToken": {"x": 5}}',
        b'{"Account": {"x": null}}',
        b'{"AccessToken": {"x": {"home_account_id": {}}}}',
        b'{"AccessToken": {"x": {"home_account_id": 5}}}',
        b'{"RefreshToken": {"x": {"home_account_id": "u", "client_id": []}}}',
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_cache(text: bytes) -> None:
    """Encrypted, compressed and foreign values are told from caches, whatever they hold."""
    with pytest.raises(ValueError, match=r"."):
        msal_cache.parse(text)


def test_depth_is_not_a_way_in() -> None:
    """A value nested a hundred thousand levels deep is refused; the process lives."""
    with pytest.raises((ValueError, RecursionError)):
        msal_cache.parse(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)


@pytest.mark.parametrize("target", [5, None, [{}], ["openid"], {"openid": 1}, "openid", ""])
def test_strange_scopes(target: object) -> None:
    """An access token without account whose scopes are no text is judged all the same."""
    blob = merged(tokens(OP, account=None), app_token())
    next(iter(blob["AccessToken"].values()))["target"] = target
    msal_cache.remove(blob, msal_cache.sign_ins(blob))
    assert {} == blob["RefreshToken"]


def test_half_a_character() -> None:
    """A text with half a character, which JSON can carry and UTF-8 cannot, is written back as it was."""
    blob = merged(tokens(OP, cached_at=5), tokens(OP, sub="u2", account="u2", cached_at=5))
    blob["Account"]["u2-login.example.com-r"]["username"] = "\ud83d"
    left = without(blob, all_of("u1"))
    assert "\ud83d" == left["Account"]["u2-login.example.com-r"]["username"]


@pytest.mark.parametrize("claim", ["iss", "sub", "sid", "aud", "azp"])
def test_half_a_character_in_a_claim(claim: str) -> None:
    """A claim with half a character names nobody: no digest can be made of it, and none is tried."""
    blob = tokens(OP)
    token = id_token(OP, "u1", "c1", **{"sid": "s", claim: "x\udc00"}) if claim not in {"iss", "sub", "aud"} else ""
    token = token or {
        "iss": id_token("x\udc00", "u1", "c1"),
        "sub": id_token(OP, "x\udc00", "c1"),
        "aud": id_token(OP, "u1", "x\udc00"),
    }[claim]  # fmt: skip
    next(iter(blob["IdToken"].values()))["secret"] = token
    for sign_in in msal_cache.sign_ins(blob)[Holder("u1", "c1")]:
        for value in (sign_in.iss, sign_in.sub, sign_in.sid, *sign_in.client_ids):
            (value or "").encode()


def test_id_token_for_several_clients() -> None:
    """Which client an ID token is for: `azp`, else the one whose cache it is in, else any it names; never the first."""
    base: dict[str, object] = {"iss": OP, "sub": "u1", "aud": ["c2", "c1"]}

    assert ("c2", "c1") == clients(base)
    assert ("c1",) == clients(base, client_id="c1")
    assert ("c2", "c1") == clients(base, client_id="c9")
    assert ("c9",) == clients({**base, "azp": "c9"}, client_id="c1")
    assert () == clients({**base, "aud": [f"c{number}" for number in range(100)]})


def clients(claims: dict[str, object], client_id: str | None = None) -> tuple[str, ...]:
    """The clients of a cached ID token."""
    sign_in = from_claims(claims, client_id=client_id)
    assert sign_in is not None
    return sign_in.client_ids


MINE = merged(
    tokens(OP, cached_at=5), tokens(OP, client="c2", cached_at=5), {"AppMetadata": {"a": {"client_id": "c1"}}}
)


def emptied(text: str, account: str = "u1") -> msal_cache.RefreshTokens | None:
    """What goes with an account, if all does."""
    return msal_cache.emptied(text, set(filter(all_of(account), msal_cache.sign_ins(msal_cache.parse(text)))))


def test_a_cache_of_one_user_is_emptied() -> None:
    """Then the same refresh tokens go as are taken out of it one by one."""
    text = json.dumps(MINE, indent=4)
    left = msal_cache.without(text, set(msal_cache.sign_ins(MINE)))
    assert not left.holds_tokens
    assert left.refresh_tokens == emptied(text)
    assert {"c1", "c2"} == {holder.client_id for holder in left.refresh_tokens}


@pytest.mark.parametrize(
    "more",
    [
        tokens(OP, sub="u2", account="u2"),
        app_token(),
        {"AccessToken": {"odd": {"home_account_id": 7}}},
        {"AccessToken": {"odd": 7}},
        {"Account": []},
    ],
)
def test_a_cache_in_which_something_is_left(more: dict[str, Any]) -> None:
    """Another user's entry, an application's, or one that cannot be judged: what is left has to be looked at."""
    blob = {
        name: section if isinstance(section, list) else {**MINE.get(name, {}), **section}
        for name, section in more.items()
    }
    assert emptied(json.dumps({**MINE, **blob})) is None


def test_an_entry_hidden_behind_another_one() -> None:
    """A parser gives the last of two members of one name; the first one may be another user's."""
    mine, other = (json.dumps(tokens(OP, sub=user, account=user))[1:-1] for user in ("u1", "u2"))
    assert emptied(f"{{{mine}}}") is not None
    assert emptied(f"{{{other}, {mine}}}") is None
