"""docs/schemas/openapi.yaml: a sound document of exactly the paths there are."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from receiver.core.tenants import TenantDirectory
from receiver.ingress.api import BearerTokens, compose
from receiver.ingress.api.names import Erasure
from receiver.ingress.api.sessions import Registration, SessionIdentity
from receiver.ingress.http.dispatcher import Dispatcher
from receiver.ingress.inputs import Resources, input_table
from receiver.ingress.inputs.admin import Order
from receiver.ingress.inputs.backchannel import PATH
from receiver.ingress.internal import internal_listener
from receiver.ops.metrics import Metrics
from receiver.ops.settings import Settings
from tests.api.conftest import TOKEN, Api
from tests.docs.pages import DOCS, names, read, rows, section
from tests.support.clock import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver.ingress.http.json_body import JsonBody
    from tests.support.op import OP

DOCUMENT: dict[str, Any] = yaml.safe_load((DOCS / "schemas" / "openapi.yaml").read_text(encoding="utf-8"))
METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}
OPERATIONS = {
    (method, path): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}


SCHEMAS: dict[type[JsonBody], str] = {
    Order: "Order", SessionIdentity: "SessionIdentity", Registration: "SignIn", Erasure: "Erasure",
}  # fmt: skip


def schema(name: str) -> jsonschema.Draft202012Validator:
    """A validator for one of the document's schemas."""
    return jsonschema.Draft202012Validator({**DOCUMENT, "$ref": f"#/components/schemas/{name}"})


def references(node: Any) -> Iterator[str]:
    """Every `$ref` of the document."""
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from references(item)
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node["$ref"]


def test_document_is_sound() -> None:
    """Version, references, operation ids, path parameters, answers and schemas are as OpenAPI 3.1 wants them."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    for reference in references(DOCUMENT):
        target: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
    assert len(OPERATIONS) == len({operation["operationId"] for operation in OPERATIONS.values()})
    for (_, path), operation in OPERATIONS.items():
        declared = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path))
        assert all("description" in answer or "$ref" in answer for answer in operation["responses"].values())
        assert ("security" in operation) is not path.startswith("/v1/")
    for name, part in DOCUMENT["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(part)
        assert schema(name).schema


async def test_routes_are_those_of_the_document(api: Api) -> None:
    """Every route of the internal listener is described, every operation described exists."""
    nothing: Any = None  # routes are only added, not called
    settings = Settings(internal={"token": TOKEN})
    parts = dict.fromkeys(field.name for field in dataclasses.fields(Resources))
    given = {"settings": settings, "metrics": Metrics(), "tenants": TenantDirectory(())}
    resources = Resources(**(parts | given))  # type: ignore[arg-type]
    dispatcher = Dispatcher(
        input_table(resources), nothing, nothing, settings.public, clock=time.time, metrics=Metrics()
    )
    calls = compose(resources, BearerTokens(settings.internal.tokens), dispatcher, nothing)
    there = {
        (route.method.lower(), route.resource.canonical)
        for route in internal_listener(nothing, Metrics(), calls).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    public = {("post", PATH), ("post", PATH + "/{tenant}")}
    switched_off = {
        ("get", "/frontchannel-logout/{tenant}"), ("post", "/global-token-revocation/{tenant}"),
        ("post", "/commands/{tenant}"),
        ("post", "/ssf/{tenant}"),
    }  # fmt: skip

    assert there | public | switched_off | {("get", "/")} == set(OPERATIONS)
    assert 200 == (await api.receiver.send("GET", "/")).status
    for method, path in public:
        assert 400 == (await api.receiver.send(method.upper(), path.replace("{tenant}", "t1"))).status
    for method, path in switched_off:
        body: Any = {"json": {}}
        if path.startswith("/commands"):
            body = {"data": {"command_token": "x"}}
        elif path.startswith("/ssf"):
            body = {"data": "x", "headers": {"Content-Type": "application/secevent+jwt"}}
        assert 404 == (await api.receiver.send(method.upper(), path.replace("{tenant}", "t1"), **body)).status


async def test_answers_are_as_described(api: Api, op: OP) -> None:
    """Orders, traces and refusals have the shape of the document."""
    order = {"tenant": "t1", "sub": "u1", "logout_at": NOW, "reason": "x", "idempotency_key": "k", "client_id": "c1"}
    schema("Order").validate(order)
    _, ordered, _ = await api.call("POST", "/evictions", order)
    schema("Ordered").validate(ordered)
    schema("Trace").validate((await api.call("GET", f"/evictions/{ordered['id']}"))[1])
    sign_in = {"iss": op.issuer, "client_id": "c1", "sub": "u2", "sid": "s", "auth_time": NOW, "iat": NOW}
    schema("SessionIdentity").validate(sign_in)
    sign_in |= {"home_account_id": "a.b", "keys": ["k"], "lifetime_s": 60}
    schema("SignIn").validate(sign_in)
    assert 200 == (await api.call("PUT", "/sessions", sign_in))[0]
    schema("Error").validate((await api.call("POST", "/evictions", {}))[1])


@pytest.mark.parametrize("order", [{"tenant": "t1"}, {"tenant": "t1", "sub": ""}, {"tenant": "t1", "sub": "u", "x": 1}])
async def test_document_refuses_what_the_api_refuses(api: Api, order: dict[str, Any]) -> None:
    """The schema of an order is no rubber stamp."""
    assert not schema("Order").is_valid(order)
    assert 400 == (await api.call("POST", "/evictions", order))[0]


@pytest.mark.parametrize("model", SCHEMAS)
def test_document_has_the_members_that_are_read(model: type[JsonBody]) -> None:
    """The schema of each body names the members the code reads, and requires the same ones."""
    described = DOCUMENT["components"]["schemas"][SCHEMAS[model]]

    assert set(model.model_fields) == set(described["properties"])
    assert {name for name, field in model.model_fields.items() if field.is_required()} == set(described["required"])


def test_members_on_the_page_are_those_of_the_document() -> None:
    """docs/api.md has a row for every member."""
    page = read("api.md")
    for heading, name in (("End a user's sessions", "Order"), ("Register sign-ins", "SignIn")):
        described = {member for row in rows(section(page, heading)) for member in names(row[0])}
        assert described == set(DOCUMENT["components"]["schemas"][name]["properties"])
