"""`Rule`: one thing a logout token must keep, as data; and `Examination`: one token on its way through the rules.

A rule stands beside its function, in the module of its stage. `logout_token.RULES` lists them all in order.
`serve` asks them one after another and stops at the first that fails. `explain` goes on, and asks every rule
that has what it needs. Both ask the same rules of the same examination, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from receiver.errors import Code, DependencyError, ReceiverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.core.tokens.jwk import VerificationKey
    from receiver.core.tokens.jwks import KeySet
    from receiver.core.tokens.jws import UnverifiedToken


class NotFoundError(AttributeError):
    """A rule needs what no rule before it has found.

    Attributes:
        attribute: What, of `Examination`.
    """

    def __init__(self, attribute: str) -> None:
        super().__init__(attribute)
        self.attribute = attribute


class Examination:
    """One token, and what the rules have found in it so far.

    Reading an attribute that is neither given nor found raises `NotFoundError` with its name. Everything here
    is the sender's word until the rule `signature` has passed. `issued_by` is the tenant `iss` leads to; `tenant` is
    the one of the rules that apply, which is the same, but for a token of no configured issuer that is explained.
    """

    __slots__ = (
        "alg", "chosen_keys", "claims", "client_id", "client_ids", "compact", "encrypted", "exp", "header", "iat",
        "iss", "issued_by", "jti", "key_set", "keys", "kid", "now_s", "opened_by", "path_tenant", "segments", "sid",
        "signature", "signed", "signing_input", "sub", "supported_alg", "tenant", "tenants",
    )  # fmt: skip

    # Given
    compact: str
    tenants: TenantDirectory
    path_tenant: Tenant | None
    now_s: float
    keys: KeySet | DependencyError
    """The tenant's keys, or why they cannot be had."""
    # Found
    segments: int
    signed: str
    opened_by: Tenant | None
    encrypted: bool
    header: Mapping[str, object]
    alg: str
    kid: str | None
    claims: Mapping[str, object]
    signing_input: bytes
    signature: bytes
    issued_by: Tenant
    tenant: Tenant
    iss: str
    supported_alg: str
    client_ids: tuple[str, ...]
    client_id: str | None
    iat: float
    exp: float | None
    sub: str | None
    sid: str | None
    jti: str
    key_set: KeySet
    chosen_keys: tuple[VerificationKey, ...]

    def __getattr__(self, name: str) -> NoReturn:
        # Called for a slot that nothing was put into.
        raise NotFoundError(name)

    @classmethod
    def of_text(
        cls, compact: str, tenants: TenantDirectory, path_tenant: Tenant | None = None, *, now_s: float = 0.0
    ) -> Examination:
        """Begin with the text that was received.

        Args:
            compact: The token, perhaps encrypted.
            tenants: The configured ones.
            path_tenant: The tenant the request's path names; None for the path all share.
            now_s: NumericDate seconds to judge by.
        """
        begun = cls()
        begun.compact, begun.tenants, begun.path_tenant, begun.now_s = compact, tenants, path_tenant, now_s
        return begun

    @classmethod
    def of_token(cls, token: UnverifiedToken, tenant: Tenant, now_s: float) -> Examination:
        """Begin with a token that is taken apart already, and the tenant it claims to come from."""
        begun = cls()
        begun.header, begun.claims, begun.encrypted = token.header, token.claims, token.encrypted
        begun.signing_input, begun.signature = token.signing_input, token.signature
        begun.alg, begun.kid, begun.tenant, begun.now_s = token.alg, token.kid, tenant, now_s
        begun.issued_by = tenant
        return begun


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        number: `stage.place`; the rules are asked in this order.
        name: Stable; appears in `explain --json`.
        section: The sentence of the specification it follows.
        check: Reads what it judges from the examination and notes there what it found. Raises an error of one of the
            codes in `refusals`, or `NotFoundError` when the rule that would have found what it needs has failed.
        refusals: Each code it can refuse with, and what the OP or the operator should change then.
        shows: Members that `explain` prints beside the answer, as `header.typ` or `claims.exp`.
        listed: Whether `explain` lists the rule for this examination; where it does not, the rule holds.
    """

    number: str
    name: str
    section: str
    check: Callable[[Examination], object]
    refusals: Mapping[Code, str]
    shows: tuple[str, ...] = ()
    listed: Callable[[Examination], bool] = lambda _: True


def where_tenant(condition: Callable[[Tenant], bool]) -> Callable[[Examination], bool]:
    """Lists a rule for tenants that meet a condition only."""
    return lambda examination: hasattr(examination, "tenant") and condition(examination.tenant)


def enforce(rules: Iterable[Rule], examination: Examination) -> None:
    """Ask these rules in their order, up to the first that fails.

    Raises:
        ReceiverError: of the first rule that fails.
    """
    # In order of cost, too: the shape before the parser, claims before keys, and a public-key operation last.
    for rule in rules:
        rule.check(examination)


def enforce_together(rules: Iterable[Rule], examinations: Sequence[Examination]) -> dict[Examination, Exception]:
    """`enforce` on each of them, rule by rule: the same code for all tokens in a row takes half the time.

    Returns:
        Those that a rule has refused, with its error.
    """
    if len(examinations) == 1:
        # Most often where little comes in, and then a row costs more than it saves.
        (only,) = examinations
        try:
            enforce(rules, only)
        except Exception as error:  # noqa: BLE001  # as below
            return {only: error}
        return {}
    failed: dict[Examination, Exception] = {}
    left = examinations
    for rule in rules:
        check = rule.check
        for examination in left:
            # An error of any kind is this token's own: another OP's logout in the same row must not be lost by it.
            try:
                check(examination)
            except ReceiverError as error:
                # By its traceback it would hold this row, and so itself, until the garbage collector comes.
                failed[examination] = error.with_traceback(None)
            except Exception as error:  # noqa: BLE001  # of this one alone
                failed[examination] = error
        if failed:
            left = [examination for examination in left if examination not in failed]
    return failed
