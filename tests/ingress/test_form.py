"""A form body and its one parameter: the short way for what stands for itself says what the long way says."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from receiver.errors import Code, RequestError
from receiver.ingress.inputs.backchannel import one_parameter


@pytest.mark.parametrize(
    "form",
    [b"p=abc", b"p=a.b_c-d", b"p=a=b", b"p=a b", b"p=a;b", b"p=a+b", b"p=a%2Bb", b"p=a&q=b", b"q=b&p=a", b"p=a&"],
)
def test_value_is_the_forms(form: bytes) -> None:
    """Decoded once, with any characters in it."""
    assert dict(parse_qsl(form.decode()))["p"] == one_parameter(form, "p")


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (b"p=a&p=b", Code.DUPLICATE_PARAM), (b"p=a&p=a", Code.DUPLICATE_PARAM),
        (b"p=", Code.MISSING_TOKEN), (b"p", Code.MISSING_TOKEN), (b"", Code.MISSING_TOKEN),
        (b"q=a", Code.MISSING_TOKEN), (b"pp=a", Code.MISSING_TOKEN),
        (b"p=\xff", Code.MALFORMED), (b"p=%ff", Code.MALFORMED), (b"\xff=a", Code.MALFORMED),
    ],
)  # fmt: skip
def test_what_is_no_one_value(form: bytes, code: Code) -> None:
    """None, several, and bytes that are no form's are refused."""
    with pytest.raises(RequestError) as caught:
        one_parameter(form, "p")
    assert code is caught.value.code
