"""What tests of rules share: the code of a refusal, a published set of keys, and a token that is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.core.tokens import logout_token as lt
from receiver.core.tokens.jwks import KeySet, parse_key_set
from receiver.errors import Code, LogoutTokenError
from tests.protocol.baseline import TENANT, token
from tests.support.clock import NOW
from tests.support.keys import rsa_pair
from tests.support.parsed import parse_jws

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.tenants import Tenant


def refusal(function: Callable[..., object], *arguments: Any, **keywords: Any) -> Code:
    """The code with which a rule refuses."""
    with pytest.raises(LogoutTokenError) as caught:
        function(*arguments, **keywords)
    return caught.value.code


def key_set(*jwks: dict[str, Any]) -> KeySet:
    """The usable keys of a published set."""
    return parse_key_set({"keys": list(jwks)})


def accepted(tenant: Tenant = TENANT, **changes: Any) -> lt.LogoutToken:
    """A verified, valid token."""
    return lt.accept(parse_jws(token(**changes)), tenant, key_set(rsa_pair("k1").published()), NOW)
