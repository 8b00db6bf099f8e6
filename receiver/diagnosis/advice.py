"""What to change, and who must change it, for each way a logout token can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.errors import Code

if TYPE_CHECKING:
    from collections.abc import Mapping

_BY_CODE: Mapping[Code, str] = {
    Code.TOKEN_TOO_LARGE: "OP: send a smaller token; a logout needs no profile, group or role claims.",
    Code.MALFORMED: "OP: give this member the type the specification gives it.",
    Code.DUPLICATE_MEMBER: "OP: send every member name once; two readers would see two different tokens.",
    Code.ALG: "OP: sign with an algorithm registered for ID tokens; operator: or add it to algorithms.",
    Code.CRIT: "OP: send logout tokens without crit and b64.",
    Code.TYP: "OP: send typ logout+jwt; operator: with require_typ: false, JWT and no typ are accepted too.",
    Code.ENCRYPTED: "Operator: set decryption_key_file, or have the OP send logout tokens signed only.",
    Code.NOT_ENCRYPTED: "OP: encrypt logout tokens as ID tokens; operator: or set encrypted: false.",
    Code.NOT_SIGNED: "OP: sign the logout token before it is encrypted.",
    Code.DECRYPTION: "Operator: register the public half of decryption_key_file at the OP, and accept its alg and enc.",
    Code.UNKNOWN_KID: "OP: publish the signing key in its JWK Set before use; operator: check jwks_uri.",
    Code.WEAK_KEY: "OP: sign with an RSA key of 2048 to 8192 bits, or with an EC key.",
    Code.KEY_ISSUER: "OP: sign with a key of this issuer; operator: use a discovery_url of this issuer alone.",
    Code.SIGNATURE: "Operator: take the token as the OP sent it, and check that issuer and jwks_uri are that OP's.",
    Code.ISSUER: "Operator: set issuer to the iss the OP sends, letter by letter, if this is your OP.",
    Code.ISSUER_MISMATCH: "Operator: register this OP's logout URL with its own tenant name in the path.",
    Code.AUDIENCE: "Operator: add the client id to client_ids if it is yours; else the OP sent another RP's token.",
    Code.EXPIRED: "OP: send the token when it is made; operator: check both clocks (NTP).",
    Code.EXP_MISSING: "OP: add exp (errata set 1); operator: or choose the OP's preset, or require_exp: false.",
    Code.NOT_YET_VALID: "Operator: check both clocks (NTP), or raise clock_skew_s.",
    Code.IAT_MISSING: "OP: add iat.",
    Code.IAT_FUTURE: "Operator: check both clocks (NTP), or raise clock_skew_s.",
    Code.TOO_OLD: "OP: send the token when it is made; operator: or raise max_age_s for an OP that retries for long.",
    Code.JTI_MISSING: "OP: add a jti, a string unique for each token.",
    Code.NO_SUBJECT: "OP: add sub, sid or both.",
    Code.SID_MISSING: "OP: require the session id for this client; operator: or set require_sid: false.",
    Code.NONCE: "OP: send a logout token, not an ID token.",
    Code.EVENTS: 'OP: add events: {"http://schemas.openid.net/event/backchannel-logout": {}}.',
    Code.JWKS_UNAVAILABLE: "Operator: make the OP's key address reachable from here; see receiver doctor.",
}

_BY_RULE: Mapping[tuple[str, Code], str] = {
    (
        "shape",
        Code.MALFORMED,
    ): "OP: send a compact JWS: three base64url segments joined by dots, no padding, no spaces.",
    (
        "encryption",
        Code.ALG,
    ): "OP: encrypt with alg and enc of this tenant's key_management_ and content_encryption_algorithms.",
    ("encryption", Code.TOKEN_TOO_LARGE): "OP: encrypt without compression (zip).",
    ("encryption", Code.ISSUER_MISMATCH): "OP: encrypt to the key registered for this client.",
    ("encoding", Code.MALFORMED): "OP: encode each segment as canonical base64url without padding.",
    ("header", Code.MALFORMED): "OP: send a JSON object in UTF-8 as the header.",
    ("payload", Code.MALFORMED): "OP: send a JSON object in UTF-8 as the payload.",
    ("alg", Code.ALG): "OP: name the signature algorithm in alg.",
    (
        "client_alg",
        Code.ALG,
    ): "OP: sign with this client's registered algorithm; operator: or change client_algorithms.",
    ("key", Code.ALG): "OP: use each key with the one algorithm its JWK says.",
    ("key", Code.MALFORMED): "OP: send kid as a string.",
    ("exp", Code.MALFORMED): "OP: send exp as a JSON number of seconds.",
    ("nbf", Code.MALFORMED): "OP: send nbf as a JSON number of seconds, or leave it out.",
    ("iat", Code.MALFORMED): "OP: send iat as a JSON number of seconds.",
    ("subject", Code.MALFORMED): "OP: send sub and sid as short strings without control characters.",
}


def advice(rule: str, code: Code) -> str:
    """One sentence on what the OP or the operator should change."""
    return _BY_RULE.get((rule, code)) or _BY_CODE.get(code, "Operator: look the code up in docs/errors.md.")
