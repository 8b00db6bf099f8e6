"""`Tenant`: one issuer and our registration with it, and the directory that finds it for a token."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

AppliesTo = Literal["tenant", "client"]
BothClaims = Literal["session", "user"]

TENANT_ID_PLACEHOLDER = "{tenantid}"
"""What a multi-tenant issuer has in place of the tenant's GUID, as Entra's metadata spells it."""

LONGEST_AHEAD_S = 3600.0
"""The most that `Tenant.max_ahead_s` may be: seconds an acknowledged logout may wait. More is a broken clock."""

GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontChannelRules:
    """What is accepted from browsers that an OP sends here.

    Attributes:
        origins: Origins of pages that may frame the answer.
        calls_per_s: Calls in one second that are looked at.
    """

    origins: tuple[str, ...]
    calls_per_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalRevocationRules:
    """How Global Token Revocation is answered.

    Attributes:
        unknown_status: HTTP status where no session of the user is known.
    """

    unknown_status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRules:
    """How OpenID Provider Commands are answered.

    Attributes:
        wait_s: Seconds an order may take to be done in every app.
        unknown_status: HTTP status where nothing of the account is known.
        require_tenant: Whether a token must have the claim `tenant`.
        callback_origins: Where the OP may be called back.
        callback_after_s: Seconds after which it is told what is not done.
    """

    wait_s: float
    unknown_status: int
    require_tenant: bool
    callback_origins: tuple[str, ...]
    callback_after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """What is accepted from one issuer. Built from the settings; every default is the strict one.

    Attributes:
        name: Label in paths, logs and metrics.
        issuer: Exact `iss`; may contain `{tenantid}` for an Entra application that serves many tenants.
        client_ids: Our RPs at this issuer; `aud` must name one.
        allowed_tenant_ids: GUIDs that may stand for `{tenantid}`; must not be empty when it is used.
        algorithms: Signature algorithms accepted (BCL §2.6 step 3).
        client_algorithms: The same for single clients, in place of `algorithms`.
        discovery_url: Metadata address; None derives it from the issuer.
        jwks_uri: Key address; None takes it from discovery.
        key_cooldown_s: Seconds between two key fetches caused by unknown `kid`s.
        require_key_issuer: Keys that carry an `issuer` member are used for that issuer only.
        clock_skew_s: Seconds the OP's clock may differ from ours.
        max_ahead_s: Seconds it may be ahead in all: a logout token beyond `clock_skew_s` waits until it is valid.
        max_age_s: Seconds after `iat` a token is accepted, even where `exp` allows more.
        require_exp: False accepts a token without `exp`, bounded by `max_age_s`.
        require_typ: True accepts only `typ: logout+jwt`.
        require_sid: True refuses a token without `sid` (`backchannel_logout_session_required`).
        both_claims: What `sub` and `sid` together mean: that session, or every session of the user.
        applies_to: Whether a logout ends the sessions of all our clients, or of the one `aud` names.
        account_from_sub: MSAL's `home_account_id` is the `sub` for this OP (it sends no `client_info`).
        encrypted: True refuses tokens that are not encrypted (BCL §2.6 step 1).
        decryption_key: Serialised private JWK set, JSON; None accepts no encrypted token.
        key_management_algorithms: JWE `alg` values accepted.
        content_encryption_algorithms: JWE `enc` values accepted.
        frontchannel: None takes in no front-channel logout.
        commands: None takes in no OpenID Provider Commands.
        global_revocation: None takes in no Global Token Revocation.
        allow_http: True lets issuer and key addresses be plain http outside loopback.
    """

    name: str
    issuer: str
    client_ids: frozenset[str]
    allowed_tenant_ids: frozenset[str] = frozenset()
    # Core §3.1.3.7 step 7: RS256 unless the client has registered another.
    algorithms: frozenset[str] = frozenset({"RS256"})
    client_algorithms: Mapping[str, frozenset[str]] = field(default_factory=dict)
    discovery_url: str | None = None
    jwks_uri: str | None = None
    key_cooldown_s: float = 60.0
    require_key_issuer: bool = False
    # RFC 7519 §4.1.4: "some small leeway, usually no more than a few minutes, to account for clock skew".
    clock_skew_s: float = 60.0
    max_ahead_s: float = 300.0
    # BCL §4 wants tokens short-lived, two minutes at most. More is left for repeats and queues on the way.
    max_age_s: float = 600.0
    require_exp: bool = True
    # BCL §2.4 only recommends `typ: logout+jwt`, and most OPs do not send it; `events` tells a logout token in any
    # case.
    require_typ: bool = False
    require_sid: bool = False
    # BCL §2.7: with a `sid` the session it names; some OPs send both and mean the user.
    both_claims: BothClaims = "session"
    applies_to: AppliesTo = "tenant"
    account_from_sub: bool = True
    encrypted: bool = False
    decryption_key: str | None = field(default=None, repr=False)
    # No RSA1_5: RFC 8725 §3.2 advises against it, because of padding oracles. No `dir` and no password: keys are
    # public.
    key_management_algorithms: frozenset[str] = frozenset({"RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW"})
    content_encryption_algorithms: frozenset[str] = frozenset({"A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"})
    frontchannel: FrontChannelRules | None = None
    commands: CommandRules | None = None
    global_revocation: GlobalRevocationRules | None = None
    allow_http: bool = False

    @property
    def metadata_url(self) -> str:
        """Where this tenant's discovery document is (OpenID Connect Discovery 1.0 §4)."""
        # Discovery 1.0 §4.1: any terminating "/" MUST be removed before the well-known path is appended.
        return self.discovery_url or self.issuer.rstrip("/") + "/.well-known/openid-configuration"

    @property
    def issuers(self) -> tuple[str, ...]:
        """Every issuer of accepted tokens: the one, or the template filled with each allowed GUID."""
        if TENANT_ID_PLACEHOLDER not in self.issuer:
            return (self.issuer,)
        return tuple(self.issuer.replace(TENANT_ID_PLACEHOLDER, guid) for guid in sorted(self.allowed_tenant_ids))

    @property
    def accepted_algorithms(self) -> frozenset[str]:
        """Every algorithm any of the clients may use; the client's own set is checked once `aud` is known."""
        # Which client a token is for is known after rule 5.2 only; that client's own set is rule 5.3.
        return self.algorithms.union(*self.client_algorithms.values()) if self.client_algorithms else self.algorithms

    def algorithms_for(self, client_id: str) -> frozenset[str]:
        """The algorithms registered for one client."""
        return self.client_algorithms.get(client_id, self.algorithms)

    def accepts_issuer(self, iss: str, tid: object = None) -> bool:
        """Whether `iss` is this tenant's issuer, byte for byte, or its template filled with an allowed GUID.

        Args:
            iss: The claim.
            tid: The token's `tid` claim; under a template it must equal the GUID in `iss`.
        """
        # Core §3.1.3.7 step 2: exactly. Two addresses that a browser takes for one may be two issuers.
        if TENANT_ID_PLACEHOLDER not in self.issuer:
            return iss == self.issuer
        # Under a template the keys are those of every Entra tenant, and every attacker can open one. So the GUID has to
        # be one that the operator allows, and the same in both claims.
        return (
            isinstance(tid, str)
            and GUID.fullmatch(tid) is not None
            and tid in self.allowed_tenant_ids
            and iss == self.issuer.replace(TENANT_ID_PLACEHOLDER, tid)
        )

    def could_issue(self, iss: str) -> bool:
        """Whether `iss` has this tenant's shape; used to choose a tenant before anything is verified."""
        # It only says by whose rules to judge; whether the GUID is allowed is rule 5.1.
        if TENANT_ID_PLACEHOLDER not in self.issuer:
            return iss == self.issuer
        head, _, tail = self.issuer.partition(TENANT_ID_PLACEHOLDER)
        return iss.startswith(head) and iss.endswith(tail) and len(iss) > len(head) + len(tail)


class TenantDirectory:
    """The configured tenants, looked up by issuer or by name. Nothing is ever built from a token's `iss`.

    All parts of a receiver share one directory, and `use` puts other tenants into it while it runs. Each look-up sees
    the tenants of before or of after, never a mixture, from any thread.
    """

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self._index = _Index.of(tenants)

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self._index.by_name.values())

    def __len__(self) -> int:
        return len(self._index.by_name)

    def use(self, tenants: Iterable[Tenant]) -> None:
        """Have these from now on, in place of all others."""
        self._index = _Index.of(tenants)

    @property
    def issuers(self) -> list[str]:
        """Every issuer of every tenant, once."""
        return list(dict.fromkeys(issuer for tenant in self for issuer in tenant.issuers))

    def by_name(self, name: str) -> Tenant | None:
        """The tenant of that name."""
        return self._index.by_name.get(name)

    def by_issuer(self, iss: str, client_id: str) -> Tenant | None:
        """The tenant that accepts tokens of exactly this issuer: among several the client's own, else the first."""
        index = self._index
        tenants = index.by_issuer.get(iss) or [tenant for tenant in index.templated if iss in tenant.issuers]
        return next((tenant for tenant in tenants if client_id in tenant.client_ids), next(iter(tenants), None))

    def by_unverified_issuer(self, unverified_iss: str) -> Sequence[Tenant]:
        """The tenants this issuer belongs to; exact issuers win over templates. Several have keys of their own each."""
        # One read: another thread may put other tenants in place in between.
        index = self._index
        exact = index.by_issuer.get(unverified_iss)
        return exact or [tenant for tenant in index.templated if tenant.could_issue(unverified_iss)]


@dataclass(frozen=True, slots=True)
class _Index:
    by_name: Mapping[str, Tenant]
    by_issuer: Mapping[str, Sequence[Tenant]]
    templated: Sequence[Tenant]

    @classmethod
    def of(cls, tenants: Iterable[Tenant]) -> _Index:
        tenants = list(tenants)
        # A list: one issuer may be configured for several applications, each with its clients and keys.
        by_issuer: dict[str, list[Tenant]] = {}
        for tenant in tenants:
            if TENANT_ID_PLACEHOLDER not in tenant.issuer:
                by_issuer.setdefault(tenant.issuer, []).append(tenant)
        templated = [tenant for tenant in tenants if TENANT_ID_PLACEHOLDER in tenant.issuer]
        return cls({tenant.name: tenant for tenant in tenants}, by_issuer, templated)
