"""The names under which the evictor's index keeps what it has learnt: digests, keyed where there is a secret.

Names fall into buckets. A plain digest needs no secret, so a visitor of an app could search for thousands
that fall into one bucket; with a secret a visitor cannot tell where a name falls.
"""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

KEYED_BYTES = 12
"""Bytes of a keyed name, as many as a plain digest has."""


class IndexNames:
    """Names in the index, made from plain digests (`core.marks.digest`).

    Args:
        secrets: The one to write with first; the others are for reading, until everything is written anew. Without any
            the names are the plain digests.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = [secret.encode() for secret in secrets]

    def written(self, name: str) -> str:
        """The name to write under."""
        return _keyed(self._secrets[0], name) if self._secrets else name

    def read(self, name: str) -> tuple[str, ...]:
        """Every name to look under: keyed ones in the order of the secrets, then the plain one."""
        return (*(_keyed(secret, name) for secret in self._secrets), name) if self._secrets else (name,)


PLAIN = IndexNames()
"""Without a secret, as in earlier releases."""


def _keyed(secret: bytes, name: str) -> str:
    """16 characters of base64url: HMAC-SHA-256 (RFC 2104), truncated to 96 bits."""
    raw = hmac.digest(secret, name.encode(), "sha256")[:KEYED_BYTES]
    return base64.urlsafe_b64encode(raw).decode()
