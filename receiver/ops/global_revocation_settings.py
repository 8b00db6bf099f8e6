"""A tenant's settings for Global Token Revocation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from receiver.ops.sections import Section


class GlobalRevocationSettings(Section):
    """The OP ends all sessions of a user by `POST /global-token-revocation/<name>`; Okta calls it Universal Logout."""

    unknown_status: Literal[204, 404] = Field(
        204,
        description="Answer where no session of the user is known. The user is marked as signed out in any case, so "
        "204 is true; 404 tells the OP.",
    )
