"""Plays any address that an app redirects to, and any page it shows, after a refusal."""

from __future__ import annotations

from receiver.consumer import anew

REDIRECT_SEEDS = [
    b"https://op.example/authorize?client_id=c&response_type=code&state=s&nonce=n&scope=openid",
    b"https://op.example/authorize?client_id=c&response_type=code&prompt=select_account&state=%00%ff",
    b"https://op.example/authorize?client_id=c&request_uri=urn%3Ax&prompt=none",
    b"https://[op/authorize?client_id=c&response_type=code",
    b"<meta http-equiv=refresh content=\"0;URL='https://op.example/a?client_id=c&amp;response_type=code&amp;state=s'\">",
]


def play_redirect(data: bytes) -> None:
    """Any address: left alone, or one that asks for a login; a second time nothing changes. Any page the same."""
    address = data.decode("latin-1")
    changed = anew.with_login(address)
    assert changed == address or anew.asks_anew(changed)
    assert changed == anew.with_login(changed)
    page, asked = anew.page_with_login(address)
    assert all(map(anew.asks_anew, asked))
    assert page == address or asked
    session: dict[str, object] = {}
    anew.note_address(session, address)
    anew.is_answered(session, {"nonce": address}, address)
