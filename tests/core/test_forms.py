"""Values in every form that libraries write are taken apart, within limits, and never loaded."""

from __future__ import annotations

import json
import pickle
import struct
import time
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cachelib.serializers import RedisSerializer
from django.core.cache.backends.redis import RedisSerializer as DjangoSerializer
from flask_session.base import MsgSpecSerializer

from receiver.core.layouts import forms, java, msgpack, pickled, session_values
from receiver.core.layouts.session_values import TYPED
from receiver.errors import BadValueError

RECORDED = Path(__file__).parent / "recorded"
OP = "https://op.example:8443/realms/x"
CLAIMS: dict[str, Any] = {"iss": OP, "sub": "u1", "aud": "c1", "sid": "s1", "auth_time": 1_700_000_000}
SESSION = {
    "_permanent": True,
    "n": -5,
    "big": 2**40,
    "part": 1.5,
    "none": None,
    "user": CLAIMS,
    "seen": ["a", {"b": 1}],
}


class Profile:
    """An app's own object in a session."""

    def __init__(self, claims: dict[str, Any]) -> None:
        self.claims = claims
        self.since = datetime.now(UTC)


JACKSON = {
    "@class": "org.springframework.security.oauth2.core.oidc.OidcUserInfo",
    "claims": {
        "@class": "java.util.Collections$UnmodifiableMap",
        "iss": ["java.net.URL", OP], "sub": "u1", "aud": ["java.util.ArrayList", ["c1"]], "sid": "s1",
        "auth_time": ["java.time.Instant", 1_700_000_000.0],
    },
}  # fmt: skip

FORMS = {
    "json": json.dumps(SESSION).encode(),
    "json in json": json.dumps(json.dumps(SESSION)).encode(),
    "flask-session": MsgSpecSerializer(None, "msgpack").encode(SESSION),
    "flask-session json": MsgSpecSerializer(None, "json").encode(SESSION),
    "cachelib": RedisSerializer().dumps(SESSION),
    "django": DjangoSerializer().dumps(SESSION),
    "django json in pickle": DjangoSerializer().dumps(json.dumps(SESSION)),
    "msgpack in pickle": pickle.dumps(msgspec.msgpack.encode(SESSION)),
    "object": pickle.dumps({"user": Profile(CLAIMS)}),
    "ordered": pickle.dumps(OrderedDict(user=OrderedDict(CLAIMS))),
    "jackson": json.dumps(JACKSON).encode(),
    **{f"pickle {protocol}": pickle.dumps(SESSION, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)},
    **{path.stem: path.read_bytes() for path in RECORDED.glob("*.ser")},
}


@pytest.mark.parametrize("form", FORMS)
def test_claims_without_a_token(form: str) -> None:
    """In every form claims tell whose a session is, with the session at the OP and the time where those are there."""
    [sign_in] = session_values.read(FORMS[form]).sign_ins
    assert (OP, "u1", "s1") == (sign_in.iss, sign_in.sub, sign_in.sid)
    assert (None if form == "java-map-of" else 1_700_000_000) == sign_in.auth_time


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_data(protocol: int) -> None:
    """Plain data is what it was, objects that share it included."""
    shared = {"x": ["ü", 1.5, None, True, False, 10**30]}
    assert {"a": shared, "b": shared} == pickled.parse(pickle.dumps({"a": shared, "b": shared}, protocol))


def test_msgpack_data() -> None:
    """Every length and kind, as msgspec writes them."""
    value = {
        "numbers": [0, 127, 128, 2**16, 2**32, 2**63, -1, -33, -200, -(2**20), -(2**40), 1.25],
        "texts": ["", "a" * 31, "a" * 32, "ü" * 300, "a" * 70_000], "bytes": [b"", b"a" * 300, b"a" * 70_000],
        "list": list(range(20)), "long": [None] * 70_000,
        "map": {str(n): n for n in range(20)}, "yes": True, "no": False,
    }  # fmt: skip
    assert value == msgpack.parse(msgspec.msgpack.encode(value))
    assert {"time": None} == msgpack.parse(msgspec.msgpack.encode({"time": datetime.now(UTC)}))


def test_java_data() -> None:
    """Fields of all classes of an object, its collections, and itself where it refers to itself."""
    found = java.parse((RECORDED / "java-object.ser").read_bytes())
    assert (3, "hi", b"\x01\x02", "B", 7) == tuple(
        found[name] for name in ("number", "text", "bytes", "kind", "longNumber")
    )
    assert found["other"] is found
    assert (["x", "y"], ["q"], 5.0, 5) == tuple(found["claims"][name] for name in ("list", "set", "date", "count"))


NESTED = 100_000
HOSTILE = {
    "deep json": b'{"a":' + b"[" * NESTED,
    "deep msgpack": b"\x91" * NESTED + b"\xc0",
    "long msgpack": b"\xdd\xff\xff\xff\xff" + b"\xc0" * NESTED,
    "many in msgpack": b"\xdd" + struct.pack(">I", 1_000_000) + b"\xc0" * 1_000_000,
    "short msgpack": b"\xdb\xff\xff\xff\xff",
    "deep pickle": b"\x80\x04" + b"]" * NESTED + b"a" * (NESTED - 1) + b".",
    "many in a pickle": b"\x80\x04" + b"N0" * 500_000 + b".",
    "pickle without a stack": b"\x80\x04a.",
    "pickle of no memo": b"\x80\x04h\x05.",
    "pickle without a mark": b"\x80\x04u.",
    "a thousand laughs": b"\x80\x04]\x94" + b"".join(b"](h%ch%ce\x94" % (n, n) for n in range(60)) + b".",
    "itself": b"\x80\x04}\x94\x8c\x01ah\x00s.",
    "deep java": java.MAGIC + b"\x73\x72\x00\x01A" + bytes(8) + b"\x02\x00\x00\x78" + b"\x73" * NESTED,
    "own parent": java.MAGIC + b"\x73\x72\x00\x01A" + bytes(8) + b"\x02\x00\x00\x78\x71\x00\x7e\x00\x00",
    "long java": java.MAGIC + b"\x7c" + b"\xff" * 8,
    "java array": java.MAGIC + b"\x75\x72\x00\x02[I" + bytes(8) + b"\x02\x00\x00\x78\x70\xff\xff\xff\xff",
    "java reference": java.MAGIC + b"\x71\x00\x7e\x00\x05",
    "java minus": java.MAGIC + b"\x74\x00\x01a\x71\x00\x00\x00\x00",
    "exclamations": b"!" * NESTED + b".",
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile(what: str) -> None:
    """What a visitor may get into a session is read or refused in moments."""
    began = time.process_time()
    assert () == session_values.read(HOSTILE[what]).sign_ins
    assert time.process_time() - began < 2


@pytest.mark.parametrize("form", FORMS)
def test_every_beginning_and_every_change(form: str) -> None:
    """A value that was cut off, or of which one byte is another one, raises nothing but that it cannot be read."""
    value = FORMS[form]
    for at in range(0, len(value), max(1, len(value) // 100)):
        for damaged in (value[:at], value[:at] + bytes([value[at] ^ 0x55]) + value[at + 1 :]):
            try:
                forms.parse(damaged)
            except BadValueError:
                continue


@pytest.mark.parametrize(("value", "data"), [(b"\x80", {}), (b"\xa2a.", "a."), (b"\x81\xa1a\xa1.", {"a": "."})])
def test_msgpack_that_looks_like_a_pickle(value: bytes, data: object) -> None:
    """A pickle has both its first byte and its last."""
    assert data == forms.parse(value)


@pytest.mark.parametrize("value", [b"", forms.CACHELIB])
def test_no_value(value: bytes) -> None:
    """It is in no form, not even in a damaged one."""
    with pytest.raises(BadValueError) as met:
        forms.parse(value)
    assert "shape" == met.value.reason


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (b"", "empty"), (b"\x09\xf0\xc9\xf0 ", "data_protection"), (b"gAAAAABo", "fernet"), (b"x\x9c..", "zlib"),
        (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xff\xfe", "unknown"), (b'{"a": 1}', "foreign_json"),
        (pickle.dumps({}), "pickled"), (b"\x81\xa1a\x01", "msgpack"), (FORMS["java-claims"], "java"),
        (HOSTILE["deep msgpack"], "too_deep"), (b'{"a', "unknown"), (b"!", "unknown"),
    ],
)  # fmt: skip
def test_names(value: bytes, word: str) -> None:
    """Each form has a word for an operator."""
    assert word == forms.name(value)


def test_a_list_of_two_texts_is_no_type() -> None:
    """An audience of two clients is not taken for a typed value."""
    [sign_in] = session_values.read(json.dumps({"user": {**CLAIMS, "aud": ["c1", "c2"]}}).encode()).sign_ins
    assert TYPED == len(sign_in.client_ids)
