"""What differs from OP to OP, as data. A preset only fills in what the tenant's settings leave open.

Each entry says why it departs from the strict default; the sources are the OPs' own code and documents,
listed in docs/presets.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESETS: Mapping[str, Mapping[str, object]] = {
    "generic": {},
    # Entra publishes keys of several issuers in one set, asks clients to refetch for an unknown kid no more
    # than every five minutes, and sends client_info, so MSAL's account key is uid.utid and never sub.
    "entra": {"require_key_issuer": True, "account_from_sub": False, "key_cooldown_s": 300.0},
    # Versions before 22.0.4 send no exp.
    "keycloak": {"require_exp": False},
    "auth0": {},
    "okta": {},
    "duende": {},
    # PingAM's and PingOne Advanced Identity Cloud's documented tokens carry no exp.
    "ping": {"require_exp": False},
    # Sends sid only, no exp, and repeats the same token after an error.
    "hydra": {"require_exp": False},
    "zitadel": {},
    "authentik": {},
    # Sends no exp, and a jti of eight characters.
    "lemonldap": {"require_exp": False},
    "wso2": {},
    "dex": {},
    "rauthy": {},
    "cas": {},
}
"""Preset name to the `Tenant` fields it sets."""
