"""The decisions given to other languages are those of the core."""

from __future__ import annotations

import json

from receiver.core.sign_in import SignIn
from tests.listeners.vectors import FILE, text


def test_the_file_is_current() -> None:
    """`python -m tests.listeners.vectors` writes it anew."""
    assert text() == FILE.read_text(encoding="utf-8")


def test_values_whose_tokens_have_no_auth_time() -> None:
    """The Python listener judges cached tokens by the same decisions."""
    tried = 0
    for vector in json.loads(FILE.read_text(encoding="utf-8"))["values"]:
        if vector["name"].startswith("user, undated"):
            cached_at = float(vector["value"]["AccessToken"]["at"].get("cached_at", 0)) or None
            tokens = SignIn(iss="https://op.example", client_ids=("c1",), sub="u", cached=True)
            over = tokens.may_be_refreshed(vector["marks"]["user_at"], cached_at=cached_at)
            assert over == (vector["verdicts"]["u c1"] != "lives"), vector["name"]
            tried += 1
    assert tried == 3
