"""Tokens of other kinds than logout tokens: the rules each is asked, its own among those of every token, and its `typ`.

`serve` asks them up to the first that fails, `explain` all of them; both take them from here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.core.tokens import jwks, registration
from receiver.core.tokens.logout_token import PARSING
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from receiver.core.tokens.rule import Rule

VERIFYING = jwks.RULES
"""Its key and its signature."""


def screening(own: Sequence[Rule]) -> tuple[Rule, ...]:
    """What needs the tenant and the time, and no key.

    Args:
        own: The rules of its kind: `typ`, the claims and the dates.
    """
    return (registration.ALGORITHM_RULE, *own)


def every_rule(own: Sequence[Rule]) -> tuple[Rule, ...]:
    """All of them in the order in which they are asked, each with a number of its own."""
    # Kinds differ in how many rules they have; `explain` numbers each list from 5.1, as that of logout tokens.
    numbered = (replace(rule, number=f"5.{place}") for place, rule in enumerate(own, 1))
    return (*PARSING, registration.ALGORITHM_RULE, *numbered, *VERIFYING)


def check_explicit_type(header: Mapping[str, object], subtype: str) -> None:
    """`typ` is there and says this kind of token.

    Args:
        header: The JOSE header.
        subtype: As in `secevent+jwt`.

    Raises:
        LogoutTokenError: `typ`.
    """
    # RFC 8725 §3.11: that is what keeps tokens of the same issuer from passing for one another.
    # RFC 7515 §4.1.9: media types are compared without case, and `application/` may be left out.
    typ = header.get("typ")
    if "cty" in header or not isinstance(typ, str) or typ.lower().removeprefix("application/") != subtype:
        raise LogoutTokenError(Code.TYP, f"the typ header does not say {subtype}, so this is another kind of token")
