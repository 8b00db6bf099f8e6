"""Open an encrypted logout token (BCL §2.6 step 1; RFC 7516 compact serialisation).

Encryption proves nothing about the sender: what comes out must still be a signed token. Key management
and content algorithms are the tenant's own short list; compression is refused unopened. The key is chosen by
what the header says. Where that names none, a few are tried: see `MAX_TRIES`.

joserfc is imported where there is a key to decrypt with: most tenants have none, and it takes a MiB of memory.
"""

from __future__ import annotations

import contextlib
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.core.tokens.jws import (
    JWE_SEGMENTS,
    JWS_SEGMENTS,
    check_algorithm_name,
    check_extensions,
    check_header_types,
    check_shape,
    read_header,
)
from receiver.core.tokens.rule import Examination, Rule
from receiver.errors import Code, ConfigurationError, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

    from receiver.core.tenants import Tenant, TenantDirectory

    DecryptionKey = RSAKey | ECKey | OKPKey | OctKey
    """As joserfc has it. A shared key in a file fits no `alg` of `KEY_MANAGEMENT`."""

KEY_MANAGEMENT = frozenset(
    {"RSA-OAEP-256", "RSA-OAEP", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW"}
)
"""JWE `alg` values a tenant may list. RSA1_5, PBES2 and shared secrets are not among them (RFC 8725 §3.2)."""

CONTENT_ENCRYPTION = frozenset({"A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"})
"""JWE `enc` values a tenant may list (RFC 7518 §5.1)."""

MAX_TRIES = 4
"""Private-key operations for one token. Enough for an old and a new key of two tenants without `kid`s; with
more, a forged token would cost us many times what it costs to send. Further keys need a `kid` or their own path."""


@functools.lru_cache(maxsize=16_384)  # more than there are tenants; loading a PEM costs as much as opening a token
def decryption_keys(serialised: str) -> KeySet:
    """The private keys in a PEM, a JWK or a JWK set.

    Raises:
        ConfigurationError: none of these, or a key without its private part.
    """
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

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


def have_a_key_in_common(one: str | None, other: str | None) -> bool:
    """Whether two tenants may open each other's tokens: one key may be a PEM here and a JWK there."""
    if not one or not other or one == other:
        return one == other
    thumbprints = [{key.thumbprint() for key in decryption_keys(serialised).keys} for serialised in (one, other)]
    return not thumbprints[0].isdisjoint(thumbprints[1])


@dataclass(frozen=True, slots=True)
class Opening:
    """How one encrypted token is to be opened.

    Attributes:
        tenant: The key's tenant; the first, where several tenants have the same key.
        key: The key.
    """

    tenant: Tenant
    key: DecryptionKey


def choose_decryption_keys(header: Mapping[str, object], tenants: Iterable[Tenant]) -> tuple[Opening, ...]:
    """The keys that may open a token with this header, `MAX_TRIES` at most; no private-key operation is done.

    Args:
        header: The JWE's.
        tenants: The tenants the token may be for: that of the path, or all of them.

    Returns:
        At least one. First the keys that carry the header's `kid`, else all that fit `alg` and `epk`.

    Raises:
        LogoutTokenError: `token_too_large`, `encrypted` when no tenant has a decryption key, `alg`, or `decryption`
            when no key fits.
    """
    # RFC 8725 §3.6 advises against compression before encryption: sizes leak what is in the text.
    # RFC 8725bis §3.15: the size of compressed text is not known before it is inflated, and 16 KiB may become 16 MiB.
    # Readers that inflated it ran out of memory (CVE-2024-28176 in jose, CVE-2024-33664 in python-jose).
    if "zip" in header:
        raise LogoutTokenError(
            Code.TOKEN_TOO_LARGE, "the token is compressed, so its real size is unknown; send it plain"
        )
    able = [tenant for tenant in tenants if tenant.decryption_key]
    if not able:
        raise LogoutTokenError(
            Code.ENCRYPTED, "the token is encrypted and no decryption_key_file is set for its tenant"
        )
    # RFC 8725 §3.2: RSA1_5 is open to padding oracles (Bleichenbacher), and PBES2 runs as many rounds as the sender
    # likes (RFC 8725bis §3.13). Neither can be listed, so neither is ever run.
    alg, enc = header.get("alg"), header.get("enc")
    allowed = [
        tenant
        for tenant in able
        if alg in tenant.key_management_algorithms and str(enc) in tenant.content_encryption_algorithms
    ]
    if not allowed:
        raise LogoutTokenError(Code.ALG, "the encryption alg or enc is not one the tenant accepts")
    # By identity: tenants that share a file share its keys, because loading is cached by text.
    fitting: dict[int, Opening] = {}
    for tenant in allowed:
        for key in decryption_keys(tenant.decryption_key or "").keys:
            if _fits(key, header):
                fitting.setdefault(id(key), Opening(tenant, key))
    return _in_order([*fitting.values()], header.get("kid"))


def _fits(key: DecryptionKey, header: Mapping[str, object]) -> bool:
    # RFC 7518 §4.6.1.1: the ephemeral key is on the curve of ours.
    # RFC 8725 §2.5, §3.4: a point off the curve can give our key away bit by bit; the library refuses such points.
    epk = header.get("epk")
    if str(header.get("alg")).startswith("RSA"):
        of_kind = key.key_type == "RSA"
    else:
        of_kind = key.key_type in {"EC", "OKP"} and isinstance(epk, dict) and epk.get("crv") == key.get("crv")
    return of_kind and key.get("use") != "sig" and key.get("alg") in {None, header.get("alg")}


def _in_order(fitting: list[Opening], kid: object) -> tuple[Opening, ...]:
    # Core §10.2: "If there are multiple keys in the referenced JWK Set document, a kid value MUST be provided in the
    # JOSE Header." Not all OPs do, and a PEM file cannot say what the OP calls its key; their logouts must not be lost.
    named = [opening for opening in fitting if opening.key.kid == kid]
    # Loading has given a key without a kid its thumbprint (RFC 7638), so the OP may know it by any other name.
    unnamed = [opening for opening in fitting if opening.key.kid == opening.key.thumbprint()]
    others = [opening for opening in fitting if opening not in unnamed]
    candidates = named or [*unnamed, *others]
    if not candidates:
        raise LogoutTokenError(Code.DECRYPTION, "no decryption key is of the kind the header's alg and epk need")
    return tuple(candidates[:MAX_TRIES])


def decrypt(compact: str, openings: Sequence[Opening]) -> tuple[str, Tenant]:
    """Open a five-segment token: one private-key operation for each key up to the one that opens it.

    Returns:
        The plaintext, which is unverified yet, and the tenant of the key that opened it.

    Raises:
        LogoutTokenError: `decryption`.
    """
    from joserfc import jwe
    from joserfc.errors import JoseError

    for opening in openings:
        tenant = opening.tenant
        algorithms = [*tenant.key_management_algorithms, *tenant.content_encryption_algorithms]
        try:
            opened = jwe.decrypt_compact(compact, opening.key, algorithms=algorithms)
        except (JoseError, ValueError, TypeError, KeyError, AssertionError):
            continue
        # A signed token is ASCII; anything else inside is for the next rule to refuse by its right name.
        return (opened.plaintext or b"").decode("ascii", "replace"), tenant
    # One answer for every cause: the sender must not learn how far it got (padding oracle).
    raise LogoutTokenError(
        Code.DECRYPTION,
        f"none of {len(openings)} decryption keys tried opens the token; is it encrypted to our current key? At most "
        f"{MAX_TRIES} are tried: give the keys the kid the OP sends, or register the logout URL with the tenant's name",
    )


def open_token(
    compact: str, segments: int, tenants: TenantDirectory, path_tenant: Tenant | None
) -> tuple[str, Tenant | None, bool]:
    """The signed token, taken out of its encryption where it has one.

    Returns:
        The token in three segments, the tenant of the key that opened it, and whether it was encrypted.

    Raises:
        LogoutTokenError: what reading the header, `choose_decryption_keys` and `decrypt` raise; `not_signed`.
    """
    if segments != JWE_SEGMENTS:
        return compact, None, False
    # Rule 1.2. BCL §2.6 step 1. The header is asked what rules 2.1 to 2.4 ask of the signed token's: a JWE has all of
    # these members, too (RFC 7516 §4.1), and must not be read otherwise than the OP wrote it.
    header = read_header(compact)
    check_extensions(header)
    check_algorithm_name(header)
    check_header_types(header)
    openings = choose_decryption_keys(header, tenants if path_tenant is None else [path_tenant])
    signed, opened_by = decrypt(compact, openings)
    # RFC 8725 §3.3: validate every layer. To encrypt takes our public key only, so bare claims inside prove nothing.
    if signed.count(".") != JWS_SEGMENTS - 1:
        raise LogoutTokenError(Code.NOT_SIGNED, "the encrypted token holds no signed token")
    check_shape(signed)
    return signed, opened_by, True


def _import_pem(pem: str) -> DecryptionKey:
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    for key_type in (RSAKey, ECKey, OKPKey):
        with contextlib.suppress(JoseError, ValueError, TypeError):
            return key_type.import_key(pem)
    raise ValueError("not a PEM key")


def _open(e: Examination) -> None:
    e.signed, e.opened_by, e.encrypted = open_token(e.compact, e.segments, e.tenants, e.path_tenant)


RULE = Rule(
    "1.2", "encryption", "BCL §2.6 step 1", _open,
    refusals={
        Code.MALFORMED: "OP: send the encrypted token's header as one JSON object, with typ, cty and kid as strings.",
        Code.DUPLICATE_MEMBER: "OP: send every member name once.",
        Code.CRIT: "OP: send logout tokens without crit and b64.",
        Code.TOKEN_TOO_LARGE: "OP: encrypt without compression (zip).",
        Code.ENCRYPTED: "Operator: set decryption_key_file, or have the OP send logout tokens signed only.",
        Code.ALG: "OP: encrypt with alg and enc of this tenant's key_management_ and content_encryption_algorithms.",
        Code.DECRYPTION: "Operator: register the public half of decryption_key_file at the OP, with its kid.",
        Code.NOT_SIGNED: "OP: sign the logout token before it is encrypted.",
    },
)  # fmt: skip
"""An encrypted token, opened."""
