"""A tenant's settings for OpenID Provider Commands."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from receiver.ops.sections import Section


class CommandSettings(Section):
    """The OP orders by `POST /commands/<name>`, and is told when every app has dropped the user."""

    wait_s: float = Field(
        10.0,
        gt=0,
        le=120,
        description="Seconds an order may take to be done in every app and cache; then it is answered 503, and stands "
        "all the same. Less than the OP waits for an answer.",
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
