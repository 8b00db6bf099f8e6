"""Why an OP could not be reached, in words: its name, its port, a proxy, TLS, its certificate."""

from __future__ import annotations

import os
import ssl

import aiohttp

LOOK_AT = "check egress, firewall and outbound.proxy_url"
"""What to look at where an address does not answer."""

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


def explain_unreachable(error: aiohttp.ClientConnectorError) -> str:
    """Why no connection came about, and what to look at."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return explain_certificate(error.certificate_error)
    cause = error.os_error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the host name {error.host} does not resolve here; check the issuer and DNS"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed, {_in_words(cause)}; is this port TLS, and is the OP's TLS at least 1.2?"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"no connection to the proxy {error.host}:{error.port}, {_in_words(cause)}; check outbound.proxy_url"
    return f"no connection to {error.host}:{error.port}, {_in_words(cause)}; {LOOK_AT}"


def explain_certificate(error: Exception) -> str:
    """Why a TLS certificate was refused, and what to do; verification is never switched off."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS failed: {type(error).__name__}"
    fault = _CERTIFICATE_FAULTS.get(error.verify_code)
    return f"TLS certificate refused, {fault}" if fault else f"TLS certificate refused: {error.verify_message}"


def _in_words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or type(error).__name__).lower().replace("_", " ")
    return os.strerror(error.errno).lower() if error.errno else str(error)[:160] or "the connection was closed"
