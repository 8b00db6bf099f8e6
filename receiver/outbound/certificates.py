"""Why a TLS certificate of an OP was refused, in words."""

from __future__ import annotations

import ssl

_TRUST = "set outbound.ca_file (or the tenant's own) to the CA's PEM, or have the OP send the whole chain"
_LAX = (
    "until then outbound.strict_tls: false (or the tenant's own) tolerates it; Python before 3.13 does not look at this"
)
_CERTIFICATE_FAULTS = {
    9: "it is not valid yet: check the clock here",
    10: "it has expired: renew it at the OP, and check the clock here",
    18: f"it is self-signed: {_TRUST}",
    19: f"its root is not trusted here: {_TRUST}",
    20: f"its issuer is not trusted here: {_TRUST}",
    21: f"its chain is incomplete: {_TRUST}",
    62: "it is for another host name: check the issuer's host, and proxies between",
    # Python's strict checks (VERIFY_X509_STRICT), on by default from 3.13 on.
    85: f"it has no Authority Key Identifier: have it reissued with one; {_LAX}",
    86: f"a CA has no Subject Key Identifier: have that CA reissued with one; {_LAX}",
    89: f"a CA's Basic Constraints are not marked critical: have that CA reissued; {_LAX}",
    92: f"a CA has no Key Usage: have that CA reissued with keyCertSign; {_LAX}",
}
"""OpenSSL's X509_V_ERR_* numbers (openssl-verification-options(1)) that operators meet."""


def explain_certificate(error: Exception) -> str:
    """Why a TLS certificate was refused, and what to do; verification is never switched off."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS failed: {type(error).__name__}"
    fault = _CERTIFICATE_FAULTS.get(error.verify_code)
    return f"TLS certificate refused, {fault}" if fault else f"TLS certificate refused: {error.verify_message}"
