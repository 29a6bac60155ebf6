"""OpenAPI documents: what becomes a tool, its schema, and the request that a call makes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from turnwright.core.errors import EnvironmentLoadError, ToolError
from turnwright.environments.imported.openapi_document import OpenApi, read_openapi
from turnwright.environments.imported.openapi_requests import Operation
from turnwright.environments.tools import Tool, argument_problems


def document(paths: Mapping[str, Any], version: str = "3.1.0", **more: Any) -> dict[str, Any]:
    return {"openapi": version, "info": {}, "servers": [{"url": "http://api/v1"}], "paths": paths, **more}


def get(*parameters: Mapping[str, Any], path: str = "/orders", version: str = "3.1.0", **more: Any) -> Operation:
    one = document({path: {"get": {"operationId": "op", "parameters": list(parameters), **more}}}, version)
    return read_openapi(one).operations["op"]


def post(schema: Mapping[str, Any], version: str = "3.1.0", schemas: Mapping[str, Any] | None = None) -> Operation:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    one = document(
        {"/orders": {"post": {"operationId": "op", "requestBody": body}}},
        version,
        components={"schemas": schemas or {}},
    )
    return read_openapi(one, operations=["op"]).operations["op"]


def query(name: str, **rule: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {}, **rule}


def sent(operation: Operation, **arguments: Any) -> httpx2.Request:
    with httpx2.Client(base_url="http://api/v1") as client:
        return operation.request(client, arguments)


SHOP = document(
    {
        "/orders/{order}": {
            "parameters": [{"$ref": "#/components/parameters/Order"}],
            "get": {
                "operationId": "orders.get",
                "tags": ["orders"],
                "summary": "Return an order.",
                "description": "With its items.",
                "parameters": [
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
                    {"name": "api_key", "in": "query", "schema": {"type": "string"}},
                    {"name": "lang", "in": "cookie", "schema": {"type": "string", "enum": ["de", "en"]}},
                ],
            },
            "delete": {"operationId": "orders.delete", "tags": ["orders"]},
        },
        "/stock": {"get": {"tags": ["stock"]}},
        "/photo": {
            "post": {"operationId": "upload", "requestBody": {"content": {"multipart/form-data": {"schema": {}}}}}
        },
    },
    components={
        "parameters": {
            "Order": {
                "name": "order",
                "in": "path",
                "required": True,
                "description": " Its number. ",
                "schema": {"type": "string", "pattern": "^O"},
            }
        }
    },
)


def names(**chosen: Any) -> list[str]:
    return list(read_openapi(SHOP, **chosen).operations)


def test_only_reading_operations_are_tools_unless_more_is_asked_for() -> None:
    assert names() == ["orders_get", "get_stock"]
    assert names(tags=["orders"]) == ["orders_get"]
    assert names(tags=["orders"], methods=["get", "DELETE"]) == ["orders_get", "orders_delete"]
    assert names(operations=["orders.delete", "get_stock"]) == ["orders_delete", "get_stock"]
    assert names(operations=["get_stock"], rename={"get_stock": "stock"}) == ["stock"]


def test_operation_that_is_no_single_request_is_left_out_and_said() -> None:
    api = read_openapi(SHOP, methods=["post"])
    assert api == OpenApi(
        operations={},
        base_url="http://api/v1",
        left_out={"upload": "its body is multipart/form-data, and not JSON"},
    )
    with pytest.raises(EnvironmentLoadError, match="'upload' cannot be a tool: its body is multipart"):
        read_openapi(SHOP, operations=["upload"])


def test_tool_is_told_as_the_document_describes_it() -> None:
    spec = read_openapi(SHOP, hidden=["api_key"]).operations["orders_get"].spec
    assert spec.description == "Return an order.\n\nWith its items."
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "order": {"type": "string", "pattern": "^O", "description": "Its number."},
            "X-Trace": {"type": "string"},
            "lang": {"type": "string", "enum": ["de", "en"]},
        },
        "required": ["order"],
    }
    assert argument_problems(Tool(spec=spec, function=print), {"order": "K1", "lang": "fr"}) == [
        "Argument order must be string that matches ^O",
        'Argument lang must be one of "de", "en"',
    ]


def test_every_room_of_a_request_is_filled() -> None:
    operation = read_openapi(SHOP).operations["orders_get"]
    request = sent(operation, **{"order": "O/3?#\u00f6", "X-Trace": "t1", "lang": "de", "api_key": "a&b"})
    assert str(request.url) == "http://api/v1/orders/O%2F3%3F%23%C3%B6?api_key=a%26b"
    assert (request.headers["X-Trace"], request.headers["Cookie"]) == ("t1", "lang=de")
    assert "api_key" not in str(sent(operation, order="O3", api_key=None).url)


@pytest.mark.parametrize("order", ["", ".", ".."])
def test_argument_cannot_lead_to_another_path(order: str) -> None:
    with pytest.raises(ToolError, match="Argument order must not be"):
        sent(read_openapi(SHOP).operations["orders_get"], order=order)


@pytest.mark.parametrize("trace", ["a\r\nX-Admin: 1", "\u00f6"])
def test_argument_cannot_add_a_header(trace: str) -> None:
    with pytest.raises(ToolError, match="X-Trace must be plain ASCII"):
        sent(read_openapi(SHOP).operations["orders_get"], **{"order": "O3", "X-Trace": trace})


@pytest.mark.parametrize(
    ("rule", "value", "text"),
    [
        ({}, True, "x=true"),
        ({}, 3, "x=3"),
        ({}, ["a", "b"], "x=a&x=b"),
        ({"explode": False}, ["a", "b"], "x=a%2Cb"),
        ({"style": "spaceDelimited", "explode": False}, ["a", "b"], "x=a+b"),
        ({"style": "pipeDelimited"}, ["a", "b"], "x=a%7Cb"),
        ({}, {"a": 1, "b": "c"}, "a=1&b=c"),
        ({"explode": False}, {"a": 1, "b": "c"}, "x=a%2C1%2Cb%2Cc"),
        ({"style": "deepObject"}, {"a": 1}, "x%5Ba%5D=1"),
    ],
)
def test_lists_and_objects_are_spelled_in_the_query_as_the_document_says(
    rule: dict[str, Any], value: Any, text: str
) -> None:
    assert sent(get(query("x", **rule)), x=value).url.query.decode() == text


def test_parameter_of_json_is_spelled_as_json() -> None:
    operation = get({"name": "x", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}})
    assert operation.spec.parameters["properties"] == {"x": {"type": "object"}}
    assert sent(operation, x={"a": [1]}).url.params["x"] == '{"a": [1]}'


def test_body_of_members_becomes_arguments_and_another_stays_whole() -> None:
    flat = post(
        {
            "type": "object",
            "properties": {"id": {"type": "integer", "readOnly": True}, "note": {"type": ["string", "null"]}},
            "required": ["id", "note"],
        }
    )
    assert flat.spec.parameters == {
        "type": "object",
        "properties": {"note": {"type": ["string", "null"]}},
        "required": ["note"],
    }
    request = sent(flat, note=None)
    assert (request.read(), request.headers["content-type"]) == (b'{"note": null}', "application/json")
    whole = post({"oneOf": [{"type": "integer"}, {"type": "string"}]})
    assert whole.spec.parameters["required"] == ["body"]
    assert sent(whole, body="K\u00f6ln").read() == '"K\u00f6ln"'.encode()


def test_same_name_in_two_rooms_is_told_apart() -> None:
    operation = get({"name": "id", "in": "path", "required": True, "schema": {}}, query("id"), path="/orders/{id}")
    assert list(operation.spec.parameters["properties"]) == ["id", "id_query"]
    assert str(sent(operation, id="1", id_query="2").url) == "http://api/v1/orders/1?id=2"


def test_schema_of_3_0_is_said_as_json_schema() -> None:
    schema = {
        "type": "object",
        "x-internal": 1,
        "properties": {
            "kind": {"type": "string", "enum": ["a"], "nullable": True, "example": "a"},
            "days": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
            "to": {"$ref": "#/components/schemas/Town", "description": "Where."},
            "via": {"allOf": [{"$ref": "#/components/schemas/Town"}], "nullable": True, "default": None},
        },
    }
    town = {"type": "string", "xml": {"name": "t"}}
    assert post(schema, "3.0.3", {"Town": town}).spec.parameters["properties"] == {
        "kind": {"type": ["string", "null"], "enum": ["a", None], "examples": ["a"]},
        "days": {"type": "integer", "exclusiveMinimum": 0},
        "to": {"type": "string", "description": "Where."},
        "via": {"anyOf": [{"allOf": [{"type": "string"}]}, {"type": "null"}], "default": None},
    }


def test_schema_that_contains_itself_becomes_a_definition() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#/components/schemas/Node"}, "value": {"type": "integer"}},
    }
    operation = post(
        {"type": "object", "properties": {"list": {"$ref": "#/components/schemas/Node"}}}, schemas={"Node": node}
    )
    reference = {"$ref": "#/$defs/Node"}
    inner = {"type": "object", "properties": {"next": reference, "value": {"type": "integer"}}}
    assert operation.spec.parameters["properties"]["list"] == inner
    assert operation.spec.parameters["$defs"] == {"Node": inner}
    tool = Tool(spec=operation.spec, function=print)
    assert argument_problems(tool, {"list": {"next": {"next": {"value": "x"}}}}) == [
        "Argument list.next.next.value must be integer"
    ]


def test_schemas_that_contain_one_another_end() -> None:
    schemas = {
        "A": {"type": "object", "properties": {"b": {"$ref": "#/components/schemas/B"}}},
        "B": {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/A"}}},
    }
    operation = post(
        {"oneOf": [{"$ref": "#/components/schemas/A"}, {"$ref": "#/components/schemas/B"}]}, schemas=schemas
    )
    assert set(operation.spec.parameters["$defs"]) == {"A", "B"}


def test_schema_that_grows_without_measure_is_refused() -> None:
    schemas = {f"S{n}": {"anyOf": [{"$ref": f"#/components/schemas/S{n + 1}"}] * 4} for n in range(12)}
    with pytest.raises(EnvironmentLoadError, match="operation 'op': its schema has more than 20000 parts"):
        post({"$ref": "#/components/schemas/S0"}, schemas={**schemas, "S12": {}})


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("#/components/schemas/None", "leads nowhere"),
        ("other.json#/Order", "leads out of the document"),
        ("https://example.com/order.json", "leads out of the document"),
    ],
)
def test_broken_reference_is_named(reference: str, words: str) -> None:
    with pytest.raises(EnvironmentLoadError, match=f"'{reference}' {words}"):
        post({"$ref": reference})


def test_reference_that_leads_to_itself_is_named() -> None:
    looping = document({"/a": {"get": {"operationId": "op", "parameters": [{"$ref": "#/components/parameters/A"}]}}})
    looping["components"] = {"parameters": {"A": {"$ref": "#/components/parameters/A"}}}
    with pytest.raises(EnvironmentLoadError, match="leads to itself"):
        read_openapi(looping)


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        ({"swagger": "2.0"}, "is of version '2.0': expected 3.0 or 3.1"),
        ({}, "is of version 'none'"),
        ({"openapi": "3.1.0", "paths": {}, "servers": [{"url": "/v1"}]}, "got '/v1'.: give base_url"),
    ],
)
def test_document_that_is_none_is_refused(whole: dict[str, Any], words: str) -> None:
    with pytest.raises(EnvironmentLoadError, match=words):
        read_openapi(whole)


def test_missing_operation_is_named() -> None:
    with pytest.raises(EnvironmentLoadError, match=r"no operation 'orders\.put'; it has: orders\.get, orders\.delete"):
        read_openapi(SHOP, operations=["orders.put"])


def test_server_with_variables_is_filled() -> None:
    servers = [{"url": "https://{region}.example.com", "variables": {"region": {"default": "eu"}}}]
    assert read_openapi({**SHOP, "servers": servers}).base_url == "https://eu.example.com"
    assert read_openapi({**SHOP, "servers": servers}, base_url="http://here").base_url == "http://here"


YAML = """
openapi: 3.0.3
servers: [{url: http://api}]
paths:
  /orders:
    get:
      parameters:
        - {name: day, in: query, schema: {type: string, default: 2024-02-03}}
      responses: {200: {description: ok}}
"""


def test_document_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "api.json"
    path.write_text(json.dumps(SHOP), encoding="utf-8-sig")
    assert read_openapi(path) == read_openapi(SHOP)
    path.write_text("{")
    with pytest.raises(EnvironmentLoadError, match=r"api\.json is not JSON"):
        read_openapi(path)
    with pytest.raises(EnvironmentLoadError, match="cannot be read"):
        read_openapi(tmp_path / "none.json")


def test_yaml_is_read_where_a_parser_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "api.yaml"
    path.write_text(YAML)
    schema = read_openapi(path).operations["get_orders"].spec.parameters["properties"]["day"]
    assert schema == {"type": "string", "default": "2024-02-03"}
    path.write_text("a: [")
    with pytest.raises(EnvironmentLoadError, match=r"api\.yaml is not YAML"):
        read_openapi(path)
