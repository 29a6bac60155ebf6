"""Schemas of an OpenAPI document as JSON Schemas that stand alone.

    {"$ref": "#/components/schemas/Order"}  -->  {"type": "object", "properties": {...}}

References are put in place; one that leads back to itself becomes an entry of ``$defs``. What only OpenAPI 3.0 says,
such as ``nullable``, is said as JSON Schema says it, and what is no business of a caller, such as ``xml``, goes.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from turnwright.core.errors import EnvironmentLoadError

DROPPED = frozenset({"discriminator", "xml", "externalDocs", "nullable", "readOnly", "writeOnly", "deprecated"})
BY_NAME = ("properties", "patternProperties", "dependentSchemas", "$defs")
IN_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
ALONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
MAX_PARTS = 20_000
"""Schemas within one tool: what a document with many references to one another can grow into."""


class SchemaReader:
    """Reads the schemas of one tool; ask for ``definitions`` when all are read."""

    def __init__(self, document: Mapping[str, Any], where: str) -> None:
        """Take the whole document; ``where`` names it and the operation in errors."""
        self._document = document
        self._where = where
        self._names: dict[str, str] = {}
        self._parts = 0

    def read(self, schema: Any) -> dict[str, Any]:
        """Return a schema of a request.

        Raises EnvironmentLoadError for a reference that leads nowhere or out of the document, and for what is no
        schema.
        """
        read = self._read(schema, ())
        return read if isinstance(read, dict) else {}

    def definitions(self) -> dict[str, Any]:
        """Return the ``$defs`` that the schemas read so far refer to."""
        found: dict[str, Any] = {}
        while missing := [reference for reference, name in self._names.items() if name not in found]:
            for reference in missing:
                found[self._names[reference]] = self._read(self.resolve({"$ref": reference}), (reference,))
        return found

    def resolve(self, value: Any) -> Mapping[str, Any]:
        """Follow references until there is none, and return the object they lead to."""
        seen: list[str] = []
        while isinstance(value, Mapping) and isinstance(value.get("$ref"), str):
            reference = cast("str", value["$ref"])
            if reference in seen:
                raise EnvironmentLoadError(f"{self._where}: the reference {reference!r} leads to itself")
            seen.append(reference)
            value = self._follow(reference)
        if not isinstance(value, Mapping):
            raise EnvironmentLoadError(f"{self._where}: expected an object, got {str(value)[:80]!r}")
        return cast("Mapping[str, Any]", value)

    def _read(self, schema: Any, within: tuple[str, ...]) -> Any:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            raise EnvironmentLoadError(f"{self._where}: a schema must be an object, got {str(schema)[:80]!r}")
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise EnvironmentLoadError(
                f"{self._where}: its schema has more than {MAX_PARTS} parts once references are in place; leave the "
                "operation out"
            )
        rule = dict(cast("Mapping[str, Any]", schema))
        reference = rule.pop("$ref", None)
        if reference is None:
            return _said_as_json_schema(dict(self._parts_of(rule, within)), rule)
        if reference in within:
            return {"$ref": f"#/$defs/{self._name(reference)}"}
        read = self._read(self._follow(reference), (*within, reference))
        # Before OpenAPI 3.1 nothing may stand beside a reference; since then a description does.
        beside = {name: text for name, text in rule.items() if name in ("description", "default")}
        return {**read, **beside} if isinstance(read, dict) else read

    def _parts_of(self, rule: Mapping[str, Any], within: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        """Yield the keywords of a schema, with the schemas inside it read."""
        for key, value in rule.items():
            if key in DROPPED or key.startswith("x-"):
                continue
            if key in BY_NAME and isinstance(value, Mapping):
                members = cast("Mapping[str, Any]", value)
                unread = self._read_only(members) if key == "properties" else set[str]()
                yield key, {name: self._read(one, within) for name, one in members.items() if name not in unread}
            elif key in IN_LISTS and isinstance(value, list):
                yield key, [self._read(one, within) for one in cast("list[Any]", value)]
            elif key in ALONE:
                yield key, self._read(value, within)
            elif key == "required" and isinstance(value, list):
                unread = self._read_only(rule.get("properties", {}))
                yield key, [name for name in cast("list[str]", value) if name not in unread]
            elif key == "example":
                yield "examples", [value]
            else:
                yield key, value

    def _read_only(self, members: Mapping[str, Any]) -> set[str]:
        """Return the names of members that a server sets and no caller sends."""
        return {name for name, one in members.items() if isinstance(one, Mapping) and self.resolve(one).get("readOnly")}

    def _follow(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise EnvironmentLoadError(
                f"{self._where}: the reference {reference!r} leads out of the document; bundle it into one file first"
            )
        found: Any = self._document
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if not (isinstance(found, Mapping) and key in found):
                raise EnvironmentLoadError(f"{self._where}: the reference {reference!r} leads nowhere")
            found = cast("Mapping[str, Any]", found)[key]
        return found

    def _name(self, reference: str) -> str:
        if reference not in self._names:
            name = base = reference.rsplit("/", 1)[-1]
            while name in self._names.values():
                name += "_"
            self._names[reference] = name or base
        return self._names[reference]


def _said_as_json_schema(read: dict[str, Any], rule: Mapping[str, Any]) -> dict[str, Any]:
    """Replace what OpenAPI 3.0 says in its own way."""
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(read.get(exclusive), bool) and read.pop(exclusive) and bound in read:
            read[exclusive] = read.pop(bound)
    if rule.get("nullable"):
        if "enum" in read and None not in read["enum"]:
            read["enum"] = [*read["enum"], None]
        if isinstance(read.get("type"), str):
            read["type"] = [read["type"], "null"]
        elif "type" not in read:
            words = {name: read.pop(name) for name in ("description", "default") if name in read}
            read = {"anyOf": [read, {"type": "null"}], **words}
    return read
