"""One token judged rule by rule, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from receiver.core.tenants import Tenant, TenantDirectory
from receiver.core.tokens.jwks import KeySet, parse_key_set
from receiver.core.tokens.rule import Examination
from receiver.diagnosis.judgement import Judgement, judge, tenant_for
from receiver.ops.tenant_settings import TenantSettings
from tests.support.clock import NOW
from tests.support.receiver import t1

if TYPE_CHECKING:
    from receiver.errors import Code, JWKSUnavailableError
    from tests.support.op import OP


def tenant(op: OP, **changes: Any) -> Tenant:
    """Tenant t1 at this OP, with some settings changed."""
    return TenantSettings(**t1(op, **changes)).to_tenant()


def judged(
    op: OP,
    token: str,
    *tenants: Tenant,
    keys: KeySet | JWKSUnavailableError | None = None,
    now_s: float = NOW,
    path: Tenant | None = None,
    show_subject: bool = False,
) -> Judgement:
    """A token judged for these tenants, by default t1, with the OP's keys."""
    directory = TenantDirectory(tenants or (tenant(op),))
    examination = Examination.of_text(token, directory, path, now_s=now_s)
    examination.keys = keys or parse_key_set({"keys": op.keys})
    return judge(examination, tenant_for(token, directory, path), show_subject=show_subject)


def failed(judgement: Judgement) -> dict[str, Code | None]:
    """The rules that failed, and their codes."""
    return {finding.rule.name: finding.code for finding in judgement.findings if finding.outcome == "failed"}


def code_of(judgement: Judgement) -> Code | None:
    """The code the service would answer; None when it would accept."""
    return judgement.error.code if judgement.error else None


def assert_consistent(judgement: Judgement) -> None:
    """The list of rules says what the verdict says."""
    assert bool(failed(judgement)) == (judgement.error is not None)
    assert judgement.error is None or judgement.error.code in failed(judgement).values()
