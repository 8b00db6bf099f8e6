"""JSON bodies of the API: strict, bounded, and refused with the name of the member that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from receiver.core.eviction import MAX_ID_CHARS
from receiver.core.numeric_date import MAX_NUMERIC_DATE
from receiver.core.tokens.strict_json import parse_object
from receiver.errors import Code, RequestError
from receiver.ingress.http.body import JSON, BodyLimits

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = BodyLimits(media_type=JSON, max_bytes=64 * 1024, timeout_s=5.0)
"""What a body may be; the largest registration that is accepted fits."""


def otherwise(sentence: str) -> WrapValidator:
    """Have a value of the wrong type or size refused with this sentence, which follows the member's name."""

    def validate(value: object, handler: Callable[[object], object]) -> object:
        try:
            return handler(value)
        except ValidationError as error:
            raise PydanticCustomError("malformed", "{sentence}", {"sentence": sentence}) from error

    return WrapValidator(validate)


Text = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=MAX_ID_CHARS, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$"),
    otherwise(f"is not a string of 1 to {MAX_ID_CHARS} plain characters"),
]
"""A name or an identifier, without control characters."""

Date = Annotated[
    float,
    Field(strict=True, ge=0, le=MAX_NUMERIC_DATE, allow_inf_nan=False),
    otherwise("is not a number of seconds since 1970"),
]
"""NumericDate seconds up to the year 9999."""


Flag = Annotated[bool, Field(strict=True), otherwise("is not true or false")]


class JsonBody(BaseModel):
    """The members of one call. Unknown ones are refused; null counts as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Body = TypeVar("Body", bound=JsonBody)


def parse_body(body: bytes, model: type[Body]) -> Body:
    """The call in a body.

    Raises:
        RequestError: `malformed`, naming the first member that is wrong, and never its value.
        LogoutTokenError: `malformed` or `duplicate_member` for what is not one JSON object.
    """
    members = {name: value for name, value in parse_object(body, "body").items() if value is not None}
    try:
        return model.model_validate(members)
    except ValidationError as error:
        # The input is left out: it may be anything, and what is said is logged.
        problem = error.errors(include_input=False, include_url=False)[0]
        raise RequestError(Code.MALFORMED, _sentence(problem, model)) from error


def _sentence(problem: Any, model: type[JsonBody]) -> str:
    if not problem["loc"]:
        # A name that is no text, so that no member is meant: half a character that JSON can carry.
        return "the name of a member is no text"
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        shown = name[:64] if name.isascii() and name.isidentifier() else "a member"
        return f"{shown} is not a member of this call; known are {', '.join(sorted(model.model_fields))}"
    if problem["type"] == "missing":
        return f"{name} is missing"
    return f"{name} {problem['msg']}"
