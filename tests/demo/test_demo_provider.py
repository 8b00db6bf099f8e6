"""The demo OP's rules, one behaviour each."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import jwt
import pytest

from demo.provider import (
    ACCESS_TOKEN_LIFETIME_S,
    CODE_LIFETIME_S,
    Client,
    OAuthError,
    Provider,
    Session,
    UnsafeRequestError,
    User,
)
from demo.signing import LOGOUT_EVENT

NOW = 1_795_176_000
ISSUER = "https://localhost:1/demo"
VERIFIER = "a-code-verifier-that-is-long-enough-for-the-standard"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def client(client_id: str) -> Client:
    """A registered RP."""
    return Client(
        client_id=client_id,
        client_secret=f"{client_id}-secret",
        redirect_uri=f"http://localhost/{client_id}/callback",
        backchannel_logout_uri="http://localhost/backchannel-logout",
        home_uri=f"http://localhost/{client_id}",
    )


PORTAL, ORDERS = client("portal"), client("orders")


@pytest.fixture
def provider() -> Provider:
    """An OP with alice and bob, and portal and orders as its clients."""
    users = [User(username=name, password=f"{name}-password", sub=f"{name}-sub") for name in ("alice", "bob")]
    return Provider(issuer=ISSUER, clients=[PORTAL, ORDERS], users=users)


def request_params(for_client: Client, **changes: str) -> dict[str, str]:
    """A good authorization request, with changes."""
    return {
        "client_id": for_client.client_id,
        "redirect_uri": for_client.redirect_uri,
        "response_type": "code",
        "scope": "openid offline_access",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "nonce": "n-1",
    } | changes


def signed_in(provider: Provider, username: str = "alice") -> Session:
    """A session opened with the right password at NOW."""
    session = provider.sign_in(username, f"{username}-password", now_s=NOW)
    assert session is not None
    return session


def new_code(provider: Provider, session: Session, for_client: Client = PORTAL) -> dict[str, str]:
    """The form that redeems a fresh code."""
    request = provider.check_authorization_request(request_params(for_client))
    return {
        "grant_type": "authorization_code",
        "code": provider.issue_code(request, session, now_s=NOW),
        "redirect_uri": for_client.redirect_uri,
        "code_verifier": VERIFIER,
    }


def claims_of(provider: Provider, token: str, audience: str) -> dict[str, Any]:
    """The claims of a token whose signature the published key verifies."""
    key = jwt.PyJWKSet.from_dict(provider.jwks())[jwt.get_unverified_header(token)["kid"]]
    options: Any = {"verify_exp": False, "verify_iat": False}
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["RS256"], audience=audience, issuer=ISSUER, options=options
    )
    return claims


def test_id_token_says_who_in_which_session(provider: Provider) -> None:
    """A redeemed code gives a signed ID token with sub, sid, auth_time and the request's nonce."""
    session = signed_in(provider)

    tokens = provider.token(new_code(provider, session), PORTAL, now_s=NOW + 5)

    claims = claims_of(provider, tokens["id_token"], "portal")
    expected = {"sub": "alice-sub", "sid": session.sid, "auth_time": NOW, "iat": NOW + 5, "nonce": "n-1"}
    assert expected.items() <= claims.items()


def test_access_token_acts_as_the_user(provider: Provider) -> None:
    """The access token answers userinfo until it expires, and nothing else does."""
    tokens = provider.token(new_code(provider, signed_in(provider)), PORTAL, now_s=NOW)

    answer = provider.userinfo(tokens["access_token"], now_s=NOW)

    assert answer == {"sub": "alice-sub", "preferred_username": "alice"}
    assert provider.userinfo(tokens["access_token"], now_s=NOW + ACCESS_TOKEN_LIFETIME_S) is None
    assert provider.userinfo("made-up", now_s=NOW) is None


def test_code_is_single_use(provider: Provider) -> None:
    """A code redeemed twice is refused, and what the first redemption gave stops working (RFC 6749 §4.1.2)."""
    form = new_code(provider, signed_in(provider))
    tokens = provider.token(form, PORTAL, now_s=NOW)

    with pytest.raises(OAuthError) as refused:
        provider.token(form, PORTAL, now_s=NOW)

    assert refused.value.error == "invalid_grant"
    assert provider.userinfo(tokens["access_token"], now_s=NOW) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"code_verifier": "another-verifier-of-the-same-length-as-the-right-one"}, id="wrong-verifier"),
        pytest.param({"code_verifier": ""}, id="no-verifier"),
        pytest.param({"code": "made-up"}, id="unknown-code"),
        pytest.param({"redirect_uri": "http://localhost/elsewhere"}, id="other-redirect-uri"),
    ],
)
def test_wrong_redemption_is_refused(provider: Provider, change: dict[str, str]) -> None:
    """A code comes only to who holds it, its verifier and its redirect_uri."""
    form = new_code(provider, signed_in(provider)) | change

    with pytest.raises(OAuthError) as refused:
        provider.token(form, PORTAL, now_s=NOW)

    assert refused.value.error == "invalid_grant"


def test_code_is_bound_to_its_client(provider: Provider) -> None:
    """Another client cannot redeem a code, even with everything else right."""
    form = new_code(provider, signed_in(provider))

    with pytest.raises(OAuthError) as refused:
        provider.token(form, ORDERS, now_s=NOW)

    assert refused.value.error == "invalid_grant"


def test_code_expires(provider: Provider) -> None:
    """A code is worthless after its minute."""
    form = new_code(provider, signed_in(provider))

    with pytest.raises(OAuthError):
        provider.token(form, PORTAL, now_s=NOW + CODE_LIFETIME_S)


def test_refresh_keeps_session_and_auth_time(provider: Provider) -> None:
    """A refreshed ID token has a new iat and the old sid and auth_time."""
    session = signed_in(provider)
    tokens = provider.token(new_code(provider, session), PORTAL, now_s=NOW)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}

    refreshed = provider.token(form, PORTAL, now_s=NOW + 100)

    claims = claims_of(provider, refreshed["id_token"], "portal")
    assert {"sid": session.sid, "auth_time": NOW, "iat": NOW + 100}.items() <= claims.items()
    with pytest.raises(OAuthError):
        provider.token(form, ORDERS, now_s=NOW + 100)


@pytest.mark.parametrize(("client_id", "secret"), [("portal", "wrong"), ("portal", ""), ("nobody", "portal-secret")])
def test_client_needs_its_secret(provider: Provider, client_id: str, secret: str) -> None:
    """Unknown client and wrong secret are refused alike."""
    with pytest.raises(OAuthError) as refused:
        provider.authenticate_client(client_id, secret)

    assert refused.value.error == "invalid_client"


@pytest.mark.parametrize(
    "change", [{"client_id": "nobody"}, {"redirect_uri": "http://localhost/elsewhere"}, {"redirect_uri": ""}]
)
def test_unregistered_redirect_is_never_followed(provider: Provider, change: dict[str, str]) -> None:
    """An unknown client or redirect_uri is an error to show, not one to redirect with."""
    with pytest.raises(UnsafeRequestError):
        provider.check_authorization_request(request_params(PORTAL, **change))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
    ],
)
def test_request_must_be_code_flow_with_pkce(provider: Provider, change: dict[str, str], error: str) -> None:
    """Only the code flow with S256 is offered; anything else goes back to the client as an error."""
    with pytest.raises(OAuthError) as refused:
        provider.check_authorization_request(request_params(PORTAL, **change))

    assert refused.value.error == error
    assert not isinstance(refused.value, UnsafeRequestError)


@pytest.mark.parametrize(
    ("username", "password"), [("alice", "bob-password"), ("alice", ""), ("carol", "alice-password")]
)
def test_wrong_password_gives_no_session(provider: Provider, username: str, password: str) -> None:
    """Only the user's own password opens a session."""
    assert provider.sign_in(username, password, now_s=NOW) is None


def test_one_logout_token_per_client_of_the_session(provider: Provider) -> None:
    """Ending a session gives each of its RPs one logout token as the standard has it, and ends only that session."""
    alice, bob = signed_in(provider), signed_in(provider, "bob")
    for session, for_client in ((alice, PORTAL), (alice, ORDERS), (alice, PORTAL), (bob, PORTAL)):
        new_code(provider, session, for_client)

    ended, notices = provider.end_session(alice.cookie, now_s=NOW + 60)

    assert ended is alice
    assert [notice.client for notice in notices] == [PORTAL, ORDERS]
    for notice in notices:
        claims = claims_of(provider, notice.logout_token, notice.client.client_id)
        assert claims == notice.claims
        assert {"sub": "alice-sub", "sid": alice.sid, "iat": NOW + 60, "exp": NOW + 180}.items() <= claims.items()
        assert claims["events"] == {LOGOUT_EVENT: {}}
        assert "nonce" not in claims
        assert jwt.get_unverified_header(notice.logout_token)["typ"] == "logout+jwt"
    assert len({notice.claims["jti"] for notice in notices}) == 2
    assert provider.session(alice.cookie) is None
    assert provider.session(bob.cookie) is bob


def test_ending_no_session_tells_nobody(provider: Provider) -> None:
    """A browser without a session causes no logout token, and neither does a second sign-out."""
    session = signed_in(provider)
    new_code(provider, session)
    provider.end_session(session.cookie, now_s=NOW)

    assert provider.end_session(session.cookie, now_s=NOW) == (None, [])
    assert provider.end_session(None, now_s=NOW) == (None, [])


def test_sid_is_not_the_cookie(provider: Provider) -> None:
    """What RPs are told cannot be used as the browser's cookie."""
    session = signed_in(provider)

    assert provider.session(session.sid) is None


def test_tokens_outlive_the_sign_out(provider: Provider) -> None:
    """Like OPs that grant offline_access, it revokes nothing at sign-out: dropping tokens is the apps' duty."""
    session = signed_in(provider)
    tokens = provider.token(new_code(provider, session), PORTAL, now_s=NOW)

    provider.end_session(session.cookie, now_s=NOW)

    assert provider.userinfo(tokens["access_token"], now_s=NOW) is not None
