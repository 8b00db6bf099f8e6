"""The `typ` of every kind of token but the logout token, where it is only recommended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
