"""Decisions as data, made by the receiver's own core: `python -m tests.listeners.vectors` writes the file anew."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from receiver.bus.keys import KeyNames
from receiver.bus.sign_ins.registry import StatusQuestion, mark_keys
from receiver.core.cursor import Cursor, read_number
from receiver.core.eviction import Eviction
from receiver.core.layouts import msal_cache
from receiver.core.local_marks import LocalMarks
from receiver.core.marks import CLOCK_SKEW_S, client_suffix, digest
from receiver.core.sign_in import from_claims
from receiver.core.verdict import Marks, Verdict, judge
from receiver.errors import BadEventError
from tests.listeners import cases
from tests.support import bad_entries

FILE = Path(__file__).parents[2] / "docs" / "schemas" / "listener-vectors.json"


def session_vectors() -> list[dict[str, Any]]:
    """Sessions, the marks there are, and whether the session is over."""
    return [_session(number, case) for number, case in enumerate(cases.SESSIONS)]


def _session(number: int, case: cases.Session) -> dict[str, Any]:
    # Names of their own: a listener keeps what it was told of a session.
    sub, sid = f"sub-{number}", f"sid-{number}"
    claims = {
        name: value
        for name, value in {**cases.CLAIMS, "sub": sub, "sid": sid, **case.claims}.items()
        if value is not ...
    }
    account = f"{sub}.tenant" if case.own_account else None
    names = {
        "epoch": "epoch",
        "sub": digest("sub", cases.ISS, sub),
        "sid": digest("sid", cases.ISS, sid),
        "account": digest("account", cases.ISS, f"{sub}.tenant"),
        "sid+sub": f"{digest('sid', cases.ISS, sid)}+{digest('sub', cases.ISS, sub)}",
        "sid+other": f"{digest('sid', cases.ISS, sid)}+{digest('sub', cases.ISS, 'other')}",
        "other iss": digest("sub", "https://other.example", sub),
    }
    sign_in = from_claims(claims, client_id=cases.CLIENT, home_account_id=account)
    names["anew"] = f"anew:{sign_in.anew_names(sign_in.client_ids[0])[0]}"
    marks = {}
    for mark, date in case.marks.items():
        name, _, client = mark.partition(" for ")
        marks[names[name] + (client_suffix(client) if client else "")] = str(date)
    keys = mark_keys(KeyNames(), sign_in)
    question = StatusQuestion(KeyNames(), sign_in, skew_s=CLOCK_SKEW_S)
    dates = [marks.get(key.removeprefix(KeyNames().mark(""))) for key in question.keys]
    return {
        "name": case.name, "claims": claims, "account": account, "marks": marks, "keys": keys,
        "anew": [key for key in question.keys if key not in keys], "over": question.answer(dates).ended,
    }  # fmt: skip


def _heard(case: cases.Heard) -> dict[str, Any]:
    fields: dict[str, Any] = {**cases.EVICTION, **case.event}
    event = json.loads(Eviction(**fields).to_json())
    event["data"] |= case.data
    eviction = Eviction.from_json(json.dumps(event))
    claims = {
        name: value
        for name, value in {**cases.CLAIMS, "sub": "u", "sid": "s", **case.claims}.items()
        if value is not ...
    }
    marks = LocalMarks()
    marks.note(eviction, now=0.0)
    heard = marks.judge(from_claims(claims, client_id=cases.CLIENT, home_account_id=case.account))
    return {
        "name": case.name, "event": event, "claims": claims, "account": case.account,
        "answer": "unknown" if heard is None else heard.answer,
    }  # fmt: skip


def _event(bad: bad_entries.Bad) -> dict[str, Any] | None:
    try:
        text = (bad.event or b"").decode()
    except UnicodeDecodeError:
        return None
    if len(text) > cases.MAX_TEXT:
        return None
    try:
        Eviction.from_json(text)
    except BadEventError as error:
        return {"name": bad.name, "event": text, "handled": False, "other_type": error.__class__ is not BadEventError}
    return {"name": bad.name, "event": text, "handled": True, "other_type": False}


def _numbers(texts: list[str | None]) -> dict[str, Any]:
    cursor, gaps = Cursor(), []
    for index, text in enumerate(texts):
        number = read_number(None if text is None else text.encode())
        if not cursor.follows(number):
            gaps.append(index)
        cursor = cursor.after(f"{index + 1}-0", number)
    return {"numbers": texts, "gaps": gaps}


def _value(case: cases.Value) -> dict[str, Any]:
    verdicts = {}
    for holder, known in msal_cache.sign_ins(msal_cache.from_json(case.value)).items():
        marks = Marks(case.marks.get("user_at"), case.marks.get("session_at"))
        found = [judge(sign_in, marks, None) for sign_in in known]
        verdicts[f"{holder.account} {holder.client_id}"] = (
            "ended" if Verdict.ENDED in found else "unsure" if Verdict.UNSURE in found else "lives"
        )
    return {"name": case.name, "value": case.value, "marks": case.marks, "verdicts": verdicts}


def document() -> dict[str, Any]:
    """The whole file."""
    return {
        "description": "Decisions of a listener, made by the receiver's own code: see docs/listener.md.",
        "client_id": cases.CLIENT,
        "digests": [
            {"kind": kind, "iss": cases.ISS, "value": value, "digest": digest(kind, cases.ISS, value)}
            for kind in ("sub", "sid", "account") for value in ("248289761001", "Zoë ☃", "a\nb")
        ] + [{"client_id": client, "suffix": client_suffix(client)} for client in (cases.CLIENT, "Zoë ☃")],
        "sessions": session_vectors(),
        "heard": [_heard(case) for case in cases.HEARD],
        "events": [
            vector for bad in (*bad_entries.EVENTS, bad_entries.OTHER_TYPE, *bad_entries.TOLERATED)
            if (vector := _event(bad))
        ],
        "numbers": [_numbers(texts) for texts in cases.NUMBERS],
        "values": [_value(case) for case in cases.VALUES],
    }  # fmt: skip


def text() -> str:
    """As it is in the file."""
    return json.dumps(document(), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: written\n")
