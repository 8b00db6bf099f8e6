"""A tenant's settings for the ways in that its OP calls, beside logout tokens and security events."""

from __future__ import annotations

from typing import Literal, Self
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


class CommandSettings(Section):
    """The OP orders by `POST /commands/<name>`, and is told when every app has dropped the user."""

    wait_s: float = Field(
        10.0,
        gt=0,
        le=120,
        description="Seconds an order may take to be done in every app and cache; then it is answered 503, but stays "
        "in force. Less than the OP waits for an answer.",
    )
    unknown_status: Literal[200, 409] = Field(
        200,
        description="Answer where nothing of the account is known. It is marked as signed out in any case, so 200 is "
        "true; 409 tells the OP.",
    )
    callback_after_s: float = Field(
        300.0,
        gt=0,
        le=86_400,
        description="Seconds an `invalidate_async` may take; then the OP is told which apps have not dropped the user.",
    )
    callback_origins: list[str] = Field(
        [], description="Origins at which the OP may be called back, as https://login.example.com. Empty: the issuer's."
    )
    require_tenant: bool = Field(True, description="Refuse tokens without the claim `tenant`, as the draft wants it.")


class GlobalRevocationSettings(Section):
    """The OP ends all sessions of a user by `POST /global-token-revocation/<name>`; Okta calls it Universal Logout."""

    unknown_status: Literal[204, 404] = Field(
        204,
        description="Answer where no session of the user is known. The user is marked as signed out in any case, so "
        "204 is true; 404 tells the OP.",
    )


def origin_of(url: str) -> str:
    """Scheme, host and port of an address (RFC 6454 §4)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
