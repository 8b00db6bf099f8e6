"""Names in the evictor's index: keyed with the first secret, looked for with all of them."""

from __future__ import annotations

import base64
import hashlib
import hmac

from receiver.core.index_names import PLAIN, IndexNames


def keyed(secret: str, name: str) -> str:
    """HMAC-SHA-256 (RFC 2104), the first 96 bits."""
    return base64.urlsafe_b64encode(hmac.new(secret.encode(), name.encode(), hashlib.sha256).digest()[:12]).decode()


def test_names_of_secrets() -> None:
    """The first secret writes; each reads, in their order, and the plain name last, for what is from before them."""
    names = IndexNames(["new", "old"])

    assert keyed("new", "n") == names.written("n")
    assert (keyed("new", "n"), keyed("old", "n"), "n") == names.read("n")
    assert 16 == len(names.written("n"))


def test_names_without_a_secret() -> None:
    """They are the plain digests, as in earlier releases."""
    assert ("n", ("n",)) == (PLAIN.written("n"), PLAIN.read("n"))
