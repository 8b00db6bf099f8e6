"""Open an encrypted logout token (BCL §2.6 step 1; RFC 7516 compact serialisation).

Encryption proves nothing about the sender: what comes out must still be a signed token. Key management
and content algorithms are the tenant's own short list; compression is refused unopened.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from receiver.core.jws import check_header, decode_base64url
from receiver.core.strict_json import parse_object
from receiver.errors import Code, ConfigurationError, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from receiver.core.tenants import Tenant

KEY_MANAGEMENT = frozenset(
    {"RSA-OAEP-256", "RSA-OAEP", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW"}
)
"""JWE `alg` values a tenant may list. RSA1_5, PBES2 and shared secrets are not among them (RFC 8725 §3.2)."""

CONTENT_ENCRYPTION = frozenset({"A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"})
"""JWE `enc` values a tenant may list."""


@functools.lru_cache(maxsize=64)
def decryption_keys(serialised: str) -> KeySet:
    """The private keys in a PEM, a JWK or a JWK set.

    Raises:
        ConfigurationError: none of these, or a key without its private part.
    """
    try:
        if serialised.lstrip().startswith("{"):
            document = json.loads(serialised)
            keys = KeySet.import_key_set(document if "keys" in document else {"keys": [document]})
        else:
            keys = KeySet([_import_pem(serialised)])
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError("decryption_key_file: not a PEM private key, a JWK or a JWK set") from error
    if not all(key.is_private for key in keys.keys):
        raise ConfigurationError("decryption_key_file: holds a public key; decryption needs the private one")
    return keys


def decrypt(compact: str, tenants: Iterable[Tenant]) -> tuple[str, Tenant]:
    """Open a five-segment token with the key of the first tenant that can.

    Args:
        compact: The JWE; its shape is already checked.
        tenants: Who it may be for: the tenant of the path, or all of them.

    Returns:
        The plaintext, which nobody has vouched for yet, and the tenant whose key opened it.

    Raises:
        LogoutTokenError: `encrypted` when no tenant has a decryption key, `alg`, `token_too_large`, `decryption`,
            or what `check_header` raises.
    """
    header = parse_object(decode_base64url(compact.partition(".")[0]), "header")
    alg = check_header(header)
    if "zip" in header:
        raise LogoutTokenError(
            Code.TOKEN_TOO_LARGE, "the token is compressed, so its real size is unknown; send it plain"
        )
    able = [tenant for tenant in tenants if tenant.decryption_key]
    if not able:
        raise LogoutTokenError(
            Code.ENCRYPTED, "the token is encrypted and no decryption_key_file is set for its tenant"
        )
    allowed = [
        tenant
        for tenant in able
        if alg in tenant.key_management_algorithms and str(header.get("enc")) in tenant.content_encryption_algorithms
    ]
    if not allowed:
        raise LogoutTokenError(Code.ALG, "the encryption alg or enc is not one the tenant accepts")
    for tenant in allowed:
        plaintext = _open(compact, tenant)
        if plaintext is not None:
            return plaintext, tenant
    raise LogoutTokenError(Code.DECRYPTION, "no decryption key opens the token; is it encrypted to our current key?")


def _open(compact: str, tenant: Tenant) -> str | None:
    algorithms = [*tenant.key_management_algorithms, *tenant.content_encryption_algorithms]
    for key in decryption_keys(tenant.decryption_key or "").keys:
        try:
            # Each key by itself: an OP that names no kid, or an unknown one, is still understood.
            opened = jwe.decrypt_compact(compact, key, algorithms=algorithms)
            # A signed token is ASCII; anything else inside is for the next step to refuse by its right name.
            return (opened.plaintext or b"").decode("ascii", "replace")
        except (JoseError, ValueError, TypeError, KeyError, AssertionError):
            continue
    return None


def _import_pem(pem: str) -> RSAKey | ECKey | OKPKey:
    for key_type in (RSAKey, ECKey, OKPKey):
        try:
            return key_type.import_key(pem)
        except (JoseError, ValueError, TypeError):
            continue
    raise ValueError("not a PEM key")
