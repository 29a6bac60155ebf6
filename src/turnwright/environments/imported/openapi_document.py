"""From an OpenAPI document (3.0 or 3.1; JSON, or YAML where a parser is installed) to operations.

read_openapi(Path("openapi.json"))                            everything that only reads: the GET operations
read_openapi(..., tags=["orders"], methods=["get", "post"])   what asks for more gets more
read_openapi(..., operations=["getOrder", "cancelOrder"])     exactly these
"""

import importlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from turnwright.core.errors import ConfigError, EnvironmentLoadError
from turnwright.core.message import ToolSpec
from turnwright.environments.imported.openapi_requests import Operation, Place, Room
from turnwright.environments.imported.openapi_schema import SchemaReader
from turnwright.environments.imported.policy_names import policy_names
from turnwright.environments.recorded.sources import Endpoint

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
NOT_PARAMETERS = frozenset({"accept", "content-type", "authorization"})
"""Headers that OpenAPI describes elsewhere, and no parameter can."""
STYLES: Mapping[str, tuple[str, ...]] = {
    "path": ("simple",),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApi:
    """The chosen operations of a document."""

    operations: Mapping[str, Operation]
    """By the name the policy uses."""
    base_url: str
    """What the paths are relative to."""
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    """Why an operation that was asked for by method or tag cannot be one request, by its name."""

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the operations as a recorder's source asks them: ``HttpApi(client, api.endpoints())``."""
        return tuple(Endpoint(spec=one.spec, request=one.request) for one in self.operations.values())


def read_openapi(
    document: Path | Mapping[str, Any],
    *,
    base_url: str = "",
    methods: Sequence[str] = ("get",),
    tags: Sequence[str] = (),
    operations: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    hidden: Sequence[str] = (),
) -> OpenApi:
    """Read the operations that are to be tools.

    Args:
        document: A file, or the document itself.
        base_url: Where the server is; the document's first server when empty.
        methods: Take the operations with these methods.
        tags: Of those, only the ones with one of these tags; empty = all.
        operations: Take exactly these instead, by operationId or by a name such as ``get_orders_order``.
        rename: What the policy calls an operation, by its name.
        hidden: Names of parameters that the policy is not told, because the client fills them in.

    Raises:
        EnvironmentLoadError: the document is none, an operation does not exist or cannot be a tool, or two have one
            name.
        ConfigError: it is YAML, and no parser is installed.
    """
    where = f"the OpenAPI document {document}" if isinstance(document, Path) else "the OpenAPI document"
    whole = _load(document) if isinstance(document, Path) else document
    version = str(whole.get("openapi", ""))
    if not re.match(r"3\.[01]\.", version):
        raise EnvironmentLoadError(
            f"{where} is of version {version or whole.get('swagger', 'none')!r}: expected 3.0 or 3.1; convert it first"
        )
    there = {_name(one, method, path): (method, path, one) for method, path, one in _operations(whole)}
    unknown = [name for name in (*operations, *(rename or {})) if name not in there]
    if unknown:
        raise EnvironmentLoadError(f"{where} has no operation {unknown[0]!r}; it has: {', '.join(there) or 'none'}")
    asked = {method.lower() for method in methods}
    names = tuple(operations) or tuple(
        name
        for name, (method, _, one) in there.items()
        if method in asked and (not tags or set(tags) & set(one.get("tags", ())))
    )
    found: dict[str, Operation] = {}
    left_out: dict[str, str] = {}
    for told, name in policy_names(names, rename or {}, where).items():
        try:
            found[told] = _read(whole, told, *there[name], hidden=hidden, where=f"{where}, operation {name!r}")
        except _NotOneRequestError as reason:
            if operations:
                raise EnvironmentLoadError(f"{where}: the operation {name!r} cannot be a tool: {reason}") from None
            left_out[name] = str(reason)
    return OpenApi(operations=found, base_url=base_url or _base_url(whole, where), left_out=left_out)


class _NotOneRequestError(Exception):
    """An operation takes something that JSON arguments cannot say."""


def _read(
    whole: Mapping[str, Any],
    told: str,
    method: str,
    path: str,
    operation: Mapping[str, Any],
    *,
    hidden: Sequence[str],
    where: str,
) -> Operation:
    reader = SchemaReader(whole, where)
    properties: dict[str, Any] = {}
    required: list[str] = []
    places: dict[str, Place] = {}

    def add(place: Place, schema: dict[str, Any], *, needed: bool) -> None:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", place.name)[:64]
        name = f"{name}_{place.room}" if name in places else name
        if name in places:
            raise _NotOneRequestError(f"it has two arguments {name!r}")
        properties[name], places[name] = schema, place
        if needed:
            required.append(name)

    for parameter in _parameters(whole, path, operation, reader):
        if parameter["name"] not in hidden:
            add(
                _place(parameter),
                _parameter_schema(parameter, reader),
                needed=parameter["in"] == "path" or bool(parameter.get("required")),
            )
    content_type = "application/json"
    if "requestBody" in operation:
        body = reader.resolve(operation["requestBody"])
        content_type, schema = _json_body(body, reader)
        needed = bool(body.get("required"))
        members = schema.get("properties")
        if members and set(schema) <= {"type", "properties", "required", "description", "additionalProperties"}:
            for name, member in members.items():
                add(Place(room="member", name=name), member, needed=needed and name in schema.get("required", ()))
        else:
            add(Place(room="body", name="body"), schema, needed=needed)
    definitions = reader.definitions()
    parameters: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    if definitions:
        parameters["$defs"] = definitions
    words = (operation.get("summary"), operation.get("description"))
    description = "\n\n".join(dict.fromkeys(text.strip() for text in words if text)) or f"{method.upper()} {path}"
    spec = ToolSpec(name=told, description=description, parameters=parameters)
    return Operation(spec=spec, method=method.upper(), path=path, places=places, content_type=content_type)


def _parameters(
    whole: Mapping[str, Any], path: str, operation: Mapping[str, Any], reader: SchemaReader
) -> list[Mapping[str, Any]]:
    """Return the parameters of an operation; its own stand in for those of its path."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    item = reader.resolve(whole["paths"][path])
    for one in (*item.get("parameters", ()), *operation.get("parameters", ())):
        parameter = reader.resolve(one)
        if parameter["in"] != "header" or parameter["name"].lower() not in NOT_PARAMETERS:
            found[parameter["in"], parameter["name"]] = parameter
    return list(found.values())


def _place(parameter: Mapping[str, Any]) -> Place:
    room = parameter["in"]
    if room not in STYLES:
        raise _NotOneRequestError(f"its parameter {parameter['name']!r} is in {room!r}")
    style = parameter.get("style", STYLES[room][0])
    if style not in STYLES[room]:
        raise _NotOneRequestError(f"its parameter {parameter['name']!r} has the style {style!r}")
    return Place(
        room=cast("Room", room),
        name=parameter["name"],
        style=style,
        explode=parameter.get("explode", style == "form"),
        as_json="content" in parameter,
    )


def _parameter_schema(parameter: Mapping[str, Any], reader: SchemaReader) -> dict[str, Any]:
    media = next(iter(parameter.get("content", {}).values()), parameter)
    schema = reader.read(media.get("schema", {}))
    if parameter.get("description"):
        schema = {**schema, "description": parameter["description"].strip()}
    return schema


def _json_body(body: Mapping[str, Any], reader: SchemaReader) -> tuple[str, dict[str, Any]]:
    for content_type, media in body.get("content", {}).items():
        if re.fullmatch(r"application/(json|[\w.-]+\+json)(;.*)?", content_type):
            return content_type, reader.read(media.get("schema", {}))
    raise _NotOneRequestError(f"its body is {', '.join(body.get('content', ())) or 'not described'}, and not JSON")


def _operations(whole: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    reader = SchemaReader(whole, "the OpenAPI document")
    for path, item in whole.get("paths", {}).items():
        resolved = reader.resolve(item)
        yield from ((method, path, resolved[method]) for method in METHODS if method in resolved)


def _name(operation: Mapping[str, Any], method: str, path: str) -> str:
    return operation.get("operationId") or "_".join([method, *re.findall(r"[A-Za-z0-9]+", path)])


def _base_url(whole: Mapping[str, Any], where: str) -> str:
    servers: Sequence[Mapping[str, Any]] = whole.get("servers") or [{"url": ""}]
    url = servers[0]["url"]
    for name, variable in servers[0].get("variables", {}).items():
        url = url.replace(f"{{{name}}}", str(variable["default"]))
    if not url.startswith(("http://", "https://")):
        raise EnvironmentLoadError(f"{where} does not say where its server is (got {url!r}): give base_url")
    return url


def _load(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentLoadError(f"the OpenAPI document {path} cannot be read: {error}") from error
    try:
        whole = _parse_yaml(text, path) if path.suffix in (".yaml", ".yml") else json.loads(text)
    except ValueError as error:
        raise EnvironmentLoadError(f"the OpenAPI document {path} is not JSON: {error}") from error
    if not isinstance(whole, Mapping):
        raise EnvironmentLoadError(f"the OpenAPI document {path} must be an object, got a {type(whole).__name__}")
    return cast("Mapping[str, Any]", whole)


def _parse_yaml(text: str, path: Path) -> Any:
    try:
        yaml = importlib.import_module("yaml")
    except ModuleNotFoundError as error:
        raise ConfigError(f"{path} is YAML: pip install pyyaml, or convert it to JSON") from error

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined, misc]
        """Leaves dates as they are written: JSON has none."""

    Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise EnvironmentLoadError(f"the OpenAPI document {path} is not YAML: {error}") from error
