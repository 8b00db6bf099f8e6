"""A sign-in page after a refusal: the address of the OP in it asks for a login, and nothing else of it changes."""

from __future__ import annotations

import pytest

from receiver.consumer.anew import page_with_login

PLAIN = "https://op.example/authorize?client_id=a&response_type=code&currency=eur&state=s"
"""With a parameter whose name begins like an entity of HTML."""
ASKED = f"{PLAIN}&prompt=login"


def escaped(address: str, ampersand: str) -> str:
    """As it may stand in HTML."""
    return address.replace("&", ampersand)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (f"<a href='{escaped(PLAIN, '&amp;')}'>", f"<a href='{escaped(ASKED, '&amp;')}'>"),
        (f"<a href='{escaped(PLAIN, '&#38;')}'>", f"<a href='{escaped(ASKED, '&amp;')}'>"),
        (f"<a href='{escaped(PLAIN, '&#X26;')}'>", f"<a href='{escaped(ASKED, '&amp;')}'>"),
        (f'<a href="{PLAIN}">', f'<a href="{ASKED}">'),
        (f"<script>location.href = '{PLAIN}';</script>", f"<script>location.href = '{ASKED}';</script>"),
        (f"<script>location.href = `{PLAIN}`;</script>", f"<script>location.href = `{ASKED}`;</script>"),
    ],
    ids=["escaped", "decimal", "hexadecimal", "attribute", "script", "template"],
)
def test_address_keeps_its_form(page: str, expected: str) -> None:
    """Escaped where it was, as in attributes, and plain where it was, as in scripts: else it would be another one."""
    assert (expected, [ASKED]) == page_with_login(page)


@pytest.mark.parametrize("separator", [r"\u0026", r"\x26"])
def test_address_escaped_for_a_script(separator: str) -> None:
    """It is left as it is: what its parameters are cannot be told without reading the script."""
    page = f'<script>go("{escaped(PLAIN, separator)}")</script>'

    assert (page, []) == page_with_login(page)
