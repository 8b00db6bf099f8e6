"""A tenant's settings for front-channel logout."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from receiver.ops.sections import Section


class FrontChannelSettings(Section):
    """Sessions of this tenant end when a browser calls `/frontchannel-logout/<name>` with their `sid`."""

    origins: list[str] = Field(
        [], description="Origins of pages that may frame the answer, as https://login.example.com. Empty: the issuer's."
    )
    calls_per_s: int = Field(
        20,
        ge=1,
        description="Calls in one second that are looked at, for each receiver; further ones are answered 429.",
    )

    @model_validator(mode="after")
    def _are_origins(self) -> Self:
        for origin in self.origins:
            if origin != origin_of(origin) or any(character in origin for character in " ;,*'\""):
                raise ValueError(f"origins: {origin!r} is not an origin: a scheme, a host and a port, and no path")
        return self


def origin_of(url: str) -> str:
    """Scheme, host and port of an address (RFC 6454 §4)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
