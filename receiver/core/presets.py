"""What differs from OP to OP, as data. A preset only fills in what the tenant's settings leave open.

Each departure from the strict default says why. What every OP sends, and what to set there, is in docs/presets.md.
A preset's member accepts what some version of the OP needs; where newer versions need less, the comment names
them, and the tenant can say so with the same member.
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
    # No exp before 23.0.4 (and the last releases of 22.0): keycloak/keycloak#25753. Newer: require_exp: true.
    "keycloak": {"require_exp": False},
    "auth0": {},
    # Sends no logout tokens; here so that a configuration that names it gets the strict rules and not an error.
    "okta": {},
    "duende": {},
    # PingAM's and PingOne Advanced Identity Cloud's documented tokens carry no exp.
    "ping": {"require_exp": False},
    # Its logout tokens never carry exp: consent/strategy_default.go.
    "hydra": {"require_exp": False},
    "zitadel": {},
    # Only 2025.8.0 and 2025.8.1 send no exp (goauthentik/authentik#16490); set require_exp: false for those.
    "authentik": {},
    # Its logout tokens carry no exp: lemonldap-ng#3609, open in 2026.
    "lemonldap": {"require_exp": False},
    "wso2": {},
    "dex": {},
    # Signs with EdDSA unless the client is set to RS256, RS384 or RS512: then set algorithms to that one.
    "rauthy": {"algorithms": ("EdDSA",)},
    # Releases from 2020 send no exp; set require_exp: false for those.
    "cas": {},
}
"""Preset name to the `Tenant` fields it sets."""
