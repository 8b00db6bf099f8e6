"""`receiver explain`: get the keys, judge one token, and say it in text or JSON."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from receiver.core.numeric_date import MAX_NUMERIC_DATE
from receiver.core.tenants import Tenant, TenantDirectory
from receiver.core.tokens.jwks import KeySet, parse_key_set
from receiver.core.tokens.logout_token import accepted
from receiver.diagnosis.claim_text import instant
from receiver.diagnosis.judgement import Judgement, judge
from receiver.diagnosis.kinds import Case, Kind, case_of, kind_of
from receiver.diagnosis.known_keys import JudgementWithKeys, judge_as_the_service
from receiver.diagnosis.terminal import DIM, GREEN, RED, dump, mark, paint, plain, widths
from receiver.errors import ConfigurationError, DependencyError, PublishError
from receiver.ingress.inputs.token_verifier import check_valid_now

if TYPE_CHECKING:
    from pathlib import Path

    from receiver.ops.settings import Settings

SCOPES = {"session": "the session sid names", "user": "every session of the user sub names"}

MAX_INPUT_BYTES = 1024 * 1024
"""Bytes read from standard input; more than any token, so that a wrong file is refused and not swallowed."""

MARKS = {"passed": ("✓", GREEN), "failed": ("✗", RED), "skipped": ("\u2013", DIM)}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A judgement, and what it was made from.

    Attributes:
        kind: Of token.
        judgement: The verdict and every rule.
        tenant: The tenant of the rules that were applied; None when nothing leads to a configured tenant.
        now_s: NumericDate seconds judged by.
        keys_from: File or address of the keys, or the service's copy; None when there were none.
        status: The HTTP status the service would answer.
        keys_note: Where the service's copy and the OP differ on this token; None where they do not.
        wait_s: Seconds an accepted token would wait in the outbox until it is valid; 0 for none.
    """

    kind: Kind
    judgement: Judgement
    tenant: Tenant | None
    now_s: float
    keys_from: str | None
    status: int
    keys_note: str | None = None
    wait_s: float = 0.0


def read_token(argument: str) -> str:
    """The token from the command line, or from standard input for `-`; white space around it is not part of it.

    Raises:
        ConfigurationError: there is none.
    """
    text = argument if argument != "-" else sys.stdin.buffer.read(MAX_INPUT_BYTES).decode("utf-8", "replace")
    token = text.strip().removeprefix("logout_token=")
    if not token:
        raise ConfigurationError("no token: give it as the argument, or on standard input")
    return token


def time_to_judge_by(given: float | None) -> float:
    """NumericDate seconds: those given, else now.

    Raises:
        ConfigurationError: not a time.
    """
    if given is None:
        return time.time()
    if not 0 <= given <= MAX_NUMERIC_DATE:
        raise ConfigurationError("--now: expected seconds since 1970, for instance 1795176000")
    return given


async def explain(
    compact: str,
    settings: Settings,
    *,
    now_s: float,
    jwks: Path | None = None,
    tenant_name: str | None = None,
    show_subject: bool = False,
    kind: Kind | None = None,
) -> Explanation:
    """Judge one token as `receiver serve` with these settings would.

    Args:
        compact: The token.
        settings: The service's.
        now_s: NumericDate seconds to judge by.
        jwks: A JWK Set file to verify with; None takes the service's keys from Redis. Where there are none, or they
            speak against the token, the OP is asked, as the service would ask it.
        tenant_name: The tenant the request's path would name.
        show_subject: Whether `sub` and `sid` may appear.
        kind: Of token, which says whose endpoint judges it; None takes it from `typ`.

    Raises:
        ConfigurationError: no such tenant, or one that takes no such tokens, or the file is not a usable JWK Set.
    """
    tenants = TenantDirectory(tuple(tenant.to_tenant() for tenant in settings.all_tenants))
    path_tenant = None
    if tenant_name is not None and (path_tenant := tenants.by_name(tenant_name)) is None:
        names = ", ".join(tenant.name for tenant in tenants) or "none"
        raise ConfigurationError(f"--tenant {plain(tenant_name)}: no such tenant; configured: {names}")
    case = case_of(kind or kind_of(compact), compact, settings, tenants, path_tenant, now_s=now_s)

    def judged_by(keys: KeySet | DependencyError | None) -> Judgement:
        examination = case.begin()
        if keys is not None:
            examination.keys = keys
        return judge(examination, case.tenant, show_subject=show_subject, asked=case.asked)

    if jwks is not None:
        verdict = JudgementWithKeys(judged_by(read_key_set(jwks)), str(jwks))
    elif case.keys_of is None:
        verdict = JudgementWithKeys(judged_by(None))
    else:
        verdict = await judge_as_the_service(settings, case.keys_of, judged_by)
    judgement, wait_s = verdict.judgement, 0.0
    if case.kind == "logout":
        judgement, wait_s = _with_wait(judgement, case.tenant, settings, now_s)
    status = _status(judgement, case)
    return Explanation(case.kind, judgement, case.tenant, now_s, verdict.keys_from, status, verdict.note, wait_s)


def read_key_set(path: Path) -> KeySet:
    """A JWK Set from a file.

    Raises:
        ConfigurationError: it cannot be read, or holds no usable key.
    """
    try:
        return parse_key_set(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"--jwks {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        reason = "not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)
        raise ConfigurationError(f"--jwks {path}: {reason}; expected a JWK Set with public keys") from error


def _with_wait(
    judgement: Judgement, tenant: Tenant | None, settings: Settings, now_s: float
) -> tuple[Judgement, float]:
    """What becomes of an accepted token that is not valid yet, and the seconds until it is."""
    if judgement.examination is None or tenant is None:
        return judgement, 0.0
    token = accepted(judgement.examination)
    if settings.outbox.path is None:
        try:
            check_valid_now(token, tenant, now_s)
        except PublishError as error:
            return replace(judgement, error=error, scope=None, examination=None), 0.0
    return judgement, max(0.0, token.valid_at(tenant) - now_s)


def _status(judgement: Judgement, case: Case) -> int:
    if judgement.examination is not None:
        return case.accepted_status(judgement.examination)
    if judgement.error is None:
        raise RuntimeError("neither accepted nor refused")
    return case.refused_status(judgement.error)


def to_json(explanation: Explanation) -> str:
    """The documented shape: `kind`, `verdict`, `tenant`, `judged_at`, `keys_from`, `keys_note`, `rules`."""
    judgement = explanation.judgement
    error = judgement.error
    return dump(
        {
            "kind": explanation.kind,
            "verdict": {
                "outcome": "refused" if error else "accepted",
                "code": error.code.value if error else None,
                "status": explanation.status,
                "message": error.message if error else None,
                "scope": judgement.scope,
                "wait_s": explanation.wait_s,
            },
            "tenant": explanation.tenant.name if explanation.tenant else None,
            "judged_at": explanation.now_s,
            "keys_from": explanation.keys_from,
            "keys_note": explanation.keys_note,
            "rules": [
                {
                    "number": finding.rule.number,
                    "rule": finding.rule.name,
                    "section": finding.rule.section,
                    "outcome": finding.outcome,
                    "code": finding.code.value if finding.code else None,
                    "text": finding.text,
                    "advice": finding.advice,
                }
                for finding in judgement.findings
            ],
        },
        indent=2,
    )


def to_text(explanation: Explanation, *, colours: bool = False) -> str:
    """One line per rule, the advice below a failed one, and the verdict last."""
    tenant = f"by the rules of tenant {explanation.tenant.name}" if explanation.tenant else "no tenant's rules apply"
    keys = f", keys from {explanation.keys_from}" if explanation.keys_from else ""
    lines = [plain(f"{tenant}, judged at {instant(explanation.now_s)}{keys}")]
    lines += [plain(f"keys: {explanation.keys_note}"), ""] if explanation.keys_note else [""]
    findings = explanation.judgement.findings
    columns = [(finding.rule.name, finding.rule.number, finding.rule.section) for finding in findings]
    sizes = widths(columns)
    for finding, cells in zip(findings, columns, strict=True):
        sign = mark(finding.outcome, MARKS, colours=colours)
        code = f"{finding.code.value}: " if finding.code else ""
        text = plain(code + finding.text)
        head = "  ".join(f"{cell:<{size}}" for cell, size in zip(cells, sizes, strict=True))
        lines.append(f"{sign} {head}  {text}")
        if finding.advice:
            lines.append(f"{'':{len(head) + 4}}→ {finding.advice}")
    return "\n".join([*lines, "", _verdict(explanation, colours=colours)])


def _verdict(explanation: Explanation, *, colours: bool) -> str:
    error = explanation.judgement.error
    if error is None:
        scope = explanation.judgement.scope
        ends = f"ends {SCOPES[scope]}" if scope else "signs no user out"
        wait = f", {explanation.wait_s:.0f} s later, when the token is valid" if explanation.wait_s else ""
        return paint(f"accepted: the service answers {explanation.status} and {ends}{wait}", GREEN, colours=colours)
    answer = plain(f"refused: the service answers {explanation.status} {error.code.value}: {error.message}")
    return paint(answer, RED, colours=colours)
