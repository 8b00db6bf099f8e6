"""How requests to an OP leave: which CAs are trusted, how strict the check is, and through which proxy."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from receiver.errors import ConfigurationError
from receiver.ops.sections import TenantOutboundSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from receiver.ops.settings import Settings


@dataclass(frozen=True, slots=True)
class Egress:
    """The way out to one OP.

    Attributes:
        ca_file: PEM of CAs trusted beside the system's; None for no further ones.
        system_cas: Whether the system's CAs are trusted.
        strict_tls: Whether certificates must keep to RFC 5280 in every detail, as Python demands from 3.13 on. Names,
            dates, signatures and trust are verified either way.
        proxy_url: HTTP proxy; None or empty connects directly.
        no_proxy: Hosts reached without the proxy: a name, `.domain` for all below it, or `*`.
    """

    ca_file: Path | None = None
    system_cas: bool = True
    strict_tls: bool = True
    proxy_url: str | None = None
    no_proxy: tuple[str, ...] = ()

    def tls(self) -> ssl.SSLContext:
        """A client context for it.

        Raises:
            ConfigurationError: the CAs cannot be read, or none would be trusted.
        """
        if self.ca_file is None and not self.system_cas:
            raise ConfigurationError("outbound.system_cas: false needs a ca_file; else no certificate is trusted")
        # With `cafile` the system's CAs are left out.
        try:
            context = ssl.create_default_context(cafile=None if self.system_cas else self.ca_file)
            if self.ca_file is not None and self.system_cas:
                context.load_verify_locations(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"outbound.ca_file: cannot read CAs from {self.ca_file}: {error}") from error
        if not self.strict_tls:
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    def proxy_for(self, url: str) -> str | None:
        """The proxy for this address; None connects directly."""
        host = (urlsplit(url).hostname or "").lower()
        direct = any(
            name == "*" or host == name.lower() or (name.startswith(".") and host.endswith(name.lower()))
            for name in self.no_proxy
        )
        return None if direct else self.proxy_url or None


@dataclass(frozen=True, slots=True)
class Way:
    """An egress, and the TLS context for it."""

    egress: Egress
    tls: ssl.SSLContext


class Ways:
    """Every OP's way out, with its CAs read.

    Args:
        default: For tenants without one of their own.
        by_tenant: Tenant name to its own.

    Raises:
        ConfigurationError: CAs cannot be read.
    """

    def __init__(self, default: Egress, by_tenant: Mapping[str, Egress]) -> None:
        read = {egress: Way(egress, egress.tls()) for egress in {default, *by_tenant.values()}}
        self._default = read[default]
        self._by_tenant = {name: read[egress] for name, egress in by_tenant.items()}

    def of(self, tenant: str) -> Way:
        """That tenant's."""
        return self._by_tenant.get(tenant, self._default)


def ways_of(settings: Settings) -> Ways:
    """What `outbound` and each tenant's `outbound` say.

    Raises:
        ConfigurationError: CAs cannot be read.
    """
    outbound = settings.outbound
    default = Egress(
        ca_file=outbound.ca_file,
        system_cas=outbound.system_cas,
        strict_tls=outbound.strict_tls,
        proxy_url=outbound.proxy_url,
        no_proxy=tuple(outbound.no_proxy),
    )
    plain = TenantOutboundSettings()
    own = {
        tenant.name: tenant.outbound.model_dump(exclude_none=True)
        for tenant in settings.all_tenants
        if tenant.outbound != plain
    }
    return Ways(default, {name: replace(default, **changes) for name, changes in own.items() if changes})
