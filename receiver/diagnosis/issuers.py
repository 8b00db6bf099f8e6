"""How two issuers differ: they are compared byte for byte, and people overlook single characters."""

from __future__ import annotations

from urllib.parse import urlsplit

from receiver.diagnosis.terminal import show

ENTRA_HOSTS = (
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.windows.net",
    "sts.windows.net",
    "sts.chinacloudapi.cn",
)
ENTRA_DOMAINS = (".ciamlogin.com", ".b2clogin.com")


def difference(configured: str, other: object) -> str:
    """What to look at, in a few words; empty when they are equal."""
    if other == configured:
        return ""
    if not isinstance(other, str):
        return "it is missing" if other is None else "it is not a string"
    if other.rstrip("/") == configured.rstrip("/"):
        return f"only a trailing slash differs: {_who_has(configured, other)}"
    if other.strip() == configured.strip():
        return "only white space around it differs"
    if other.lower() == configured.lower():
        return "only upper and lower case differ"
    return _by_part(configured, other)


def prefix_of(one: str, other: str) -> str:
    """What the path of one of these addresses has in front of the other's; empty where that is not all."""
    shorter, longer = sorted((urlsplit(one).path.rstrip("/"), urlsplit(other).path.rstrip("/")), key=len)
    return longer.removesuffix(shorter) if shorter != longer and longer.endswith(shorter) else ""


def _who_has(configured: str, other: str) -> str:
    has, has_not = ("it", "the configured one") if len(other) > len(configured) else ("the configured one", "it")
    return f"{has} has one, {has_not} has none"


def _by_part(configured: str, other: str) -> str:
    try:
        ours, theirs = urlsplit(configured), urlsplit(other)
        if ours[:2] == theirs[:2] and (prefix := prefix_of(configured, other)):
            return f"only the path prefix {prefix} differs: {_who_has(configured, other)}"
        if ours.scheme != theirs.scheme and other.partition(":")[2] == configured.partition(":")[2]:
            return f"only the scheme differs: {show(theirs.scheme)}, configured {show(ours.scheme)}"
        if ours.netloc != theirs.netloc and ours.hostname == theirs.hostname:
            return f"the port differs: {show(theirs.netloc)}, configured {show(ours.netloc)}"
        if ours.netloc != theirs.netloc:
            prefix = prefix_of(configured, other)
            path = f", and so does the path prefix {prefix}" if prefix else ""
            return f"the host differs: {show(theirs.netloc)}, configured {show(ours.netloc)}{path}"
    except ValueError:  # not a URL at all
        pass
    at = next((i for i, (a, b) in enumerate(zip(configured, other, strict=False)) if a != b), None)
    at = min(len(configured), len(other)) if at is None else at
    return (
        f"they differ from character {at + 1}: {show(other[at : at + 24])}, configured {show(configured[at : at + 24])}"
    )


def is_entra(issuer: str) -> bool:
    """Whether the issuer is one of Microsoft Entra ID, External ID or Azure AD B2C."""
    host = (urlsplit(issuer).hostname or "").lower()
    return host in ENTRA_HOSTS or host.endswith(ENTRA_DOMAINS)
